//! A served repository: where it is, how it names things.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gix::{ObjectId, hash, sec};
use sha2::{Digest, Sha256};

use super::{
    Cache, Objects, Refs,
    objects::Place,
    refs,
    store::{causes, told},
};
use crate::error::{Error, Kind, Result};

/// What gix may allocate for one object while it follows a revision, in bytes.
const ALLOCATION_LIMIT: &str = "gitoxide.objects.allocLimit=134217728";

/// The extensions of the repository format that change nothing here.
const EXTENSIONS: [&str; 7] = [
    "noop",
    "noop-v1",
    "objectformat",
    "partialclone",
    "preciousobjects",
    "relativeworktrees",
    "worktreeconfig",
];

/// A repository on disk: bare, with a work tree, or a linked work tree.
///
/// Nothing is kept of it but where it is: every question looks at the disk, so
/// a push or a repack is seen by the next one.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
    /// The absolute path of what linked work trees share.
    common_dir: PathBuf,
    format: hash::Kind,
}

impl Repository {
    /// Opens the repository at `path`: a bare one, a `.git`, or a work tree.
    ///
    /// Neither the environment nor the configuration of the user or the system
    /// plays a part, nor does who owns it. Fails with [`Kind::NotFound`] when
    /// there is no repository, with [`Kind::Unsupported`] when it is of a form
    /// this version cannot read.
    pub fn open(path: &Path) -> Result<Self> {
        let repository = open(path)?;
        let common_dir = std::fs::canonicalize(repository.common_dir())
            .map_err(|error| Error::io("open", repository.common_dir(), error))?;
        Ok(Self {
            path: path.into(),
            common_dir,
            format: repository.object_hash(),
        })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hash its object ids are made with.
    pub fn object_format(&self) -> hash::Kind {
        self.format
    }

    /// The commit that `rev` names now: anything `git rev-parse` takes that
    /// has no `:`, an annotated tag peeled.
    ///
    /// Fails with [`Kind::NotFound`] when nothing is called so, more than one
    /// thing is, or the repository has no commits; with [`Kind::Invalid`] when
    /// `rev` cannot be, or is not, the name of a commit.
    pub fn resolve(&self, rev: &str) -> Result<ObjectId> {
        let here = |error: Error| error.within(format!("{:?} in {}", rev, self.path.display()));
        if rev.is_empty() || rev.contains(':') || rev.contains("..") || rev.starts_with('-') {
            return Err(here(Error::new(Kind::Invalid, "not the name of a commit")));
        }
        let repository = open(&self.path)?;
        let found = match repository.rev_parse_single(rev) {
            Ok(found) => found,
            Err(_) if repository.head().is_ok_and(|head| head.is_unborn()) && is_head(rev) => {
                let told = format!("{} has no commits yet", self.path.display());
                return Err(Error::new(Kind::NotFound, told));
            }
            Err(error) => return Err(here(self.damage().unwrap_or_else(|| unresolved(error)))),
        };
        let object = found.object().map_err(|error| here(unresolved(error)))?;
        let commit = object.peel_to_kind(gix::objs::Kind::Commit);
        commit.map(|commit| commit.id).map_err(|error| {
            let kind = if error.is_not_found() {
                Kind::NotFound
            } else {
                Kind::Invalid
            };
            here(Error::with_source(
                kind,
                format!("names no commit: {}", told(&error)),
                error,
            ))
        })
    }

    /// What is damaged so that objects are not found: gix passes over a pack
    /// whose index it cannot read.
    fn damage(&self) -> Option<Error> {
        let objects = self.objects(&Cache::new(0, Path::new(""))).ok()?;
        let missing = objects.commit(ObjectId::null(self.format)).err()?;
        (missing.kind() == Kind::Corrupt).then_some(missing)
    }

    /// The objects, straight from the repository as it is from moment to moment.
    pub fn objects(&self, cache: &Arc<Cache>) -> Result<Objects> {
        let directory = self.object_directory();
        if !directory.is_dir() {
            let told = format!("{} has no object directory", self.path.display());
            return Err(Error::new(Kind::NotFound, told));
        }
        let place = Place {
            label: self.label(),
            domain: self.key(),
            directory: &directory,
            format: self.format,
            live: true,
        };
        Ok(Objects::open(place, cache))
    }

    /// Tells it apart from other repositories on this machine; linked work
    /// trees of one repository have the same.
    pub(super) fn key(&self) -> u64 {
        let hash: [u8; 32] = Sha256::digest(self.common_dir.as_os_str().as_encoded_bytes()).into();
        hash.first_chunk()
            .map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// What errors call it.
    pub(super) fn label(&self) -> String {
        format!("repository {}", self.path.display())
    }

    /// The absolute path of what linked work trees share: refs and objects.
    pub(super) fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// Where a clone would find it, as text.
    pub(super) fn own_path(&self) -> String {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        let path = path.to_string_lossy();
        path.chars().filter(|letter| !letter.is_control()).collect()
    }

    pub(super) fn object_directory(&self) -> PathBuf {
        self.common_dir.join("objects")
    }

    /// Its branches, tags and HEAD as they are now.
    pub(super) fn refs(&self) -> Result<Refs> {
        refs::read(&open(&self.path)?).map_err(|error| error.within(self.label()))
    }

    /// Its `remote.origin.url`, if it has one that fits on a line, without the
    /// name and password that may stand in it: images are shown to others.
    pub(super) fn origin(&self) -> Result<Option<String>> {
        let repository = open(&self.path)?;
        let url = repository.config_snapshot().string("remote.origin.url");
        let url = url.and_then(|url| String::from_utf8(url.into()).ok());
        let url = url.filter(|url| !url.is_empty() && !url.contains(char::is_control));
        Ok(url.map(without_password))
    }
}

/// `https://host/…` for `https://name:password@host/…`, where a lone name may
/// be a token too. Other schemes keep a lone name.
fn without_password(url: String) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url;
    };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((user, _)) if scheme.starts_with("http") || user.contains(':') => {
            let rest = rest
                .strip_prefix(user)
                .and_then(|rest| rest.strip_prefix('@'));
            format!("{scheme}://{}", rest.unwrap_or_default())
        }
        _ => url,
    }
}

/// Opens the repository afresh: gix keeps what it saw, we want what there is.
fn open(path: &Path) -> Result<gix::Repository> {
    let options = gix::open::Options::isolated()
        .with(sec::Trust::Full)
        .config_overrides(["core.useReplaceRefs=false", ALLOCATION_LIMIT]);
    let repository = match options.open(path) {
        Ok(repository) => repository.to_thread_local(),
        Err(error) => return Err(not_opened(path, error)),
    };
    check_format(&repository).map_err(|error| error.within(path.display()))?;
    Ok(repository)
}

fn not_opened(path: &Path, error: gix::Error) -> Error {
    let place = path.display();
    if !path.exists() {
        return Error::new(Kind::NotFound, format!("{place} does not exist"));
    }
    let kind = if error.is_unsupported() {
        Kind::Unsupported
    } else {
        Kind::NotFound
    };
    let why = told(&error);
    Error::with_source(
        kind,
        format!("{place} cannot be opened as a repository: {why}"),
        error,
    )
}

/// Refuses what git's format rules say a reader must know and we do not.
fn check_format(repository: &gix::Repository) -> Result<()> {
    let config = repository.config_snapshot();
    let version = config.integer("core.repositoryFormatVersion").unwrap_or(0);
    let unsupported = |what: String| {
        Err(Error::new(
            Kind::Unsupported,
            format!("{what}, which this version cannot read"),
        ))
    };
    if !(0..=1).contains(&version) {
        return unsupported(format!("the repository format is {version}"));
    }
    let storage = config.string("extensions.refStorage");
    if let Some(storage) = storage.filter(|storage| *storage != "files") {
        return unsupported(format!("refs are stored as {storage}"));
    }
    let sections = config
        .plumbing()
        .sections_by_name("extensions")
        .into_iter()
        .flatten();
    let unknown = sections
        .flat_map(|section| section.value_names().collect::<Vec<_>>())
        .map(|name| name.to_ascii_lowercase())
        .find(|name| name != "refstorage" && !EXTENSIONS.contains(&name.as_str()));
    match unknown {
        Some(name) if version == 1 => unsupported(format!("it uses the extension {name}")),
        _ => Ok(()),
    }
}

/// Whether `rev` starts out from HEAD.
fn is_head(rev: &str) -> bool {
    rev.strip_prefix("HEAD")
        .or_else(|| rev.strip_prefix('@'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['~', '^', '@']))
}

fn unresolved(error: gix::Error) -> Error {
    Error::with_source(
        Kind::NotFound,
        causes(&error).pop().unwrap_or_default(),
        error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_keeps_no_password() {
        for (url, shown) in [
            ("https://example.org/a.git", "https://example.org/a.git"),
            (
                "https://me:secret@example.org/a@b.git",
                "https://example.org/a@b.git",
            ),
            ("https://token@example.org/", "https://example.org/"),
            ("https://a@b:c@example.org", "https://example.org"),
            ("ssh://git@example.org:22/a", "ssh://git@example.org:22/a"),
            ("ssh://git:secret@example.org/a", "ssh://example.org/a"),
            ("git@example.org:a.git", "git@example.org:a.git"),
            ("/srv/a@b", "/srv/a@b"),
        ] {
            assert_eq!(without_password(url.into()), shown);
        }
    }
}
