//! Repositories: opening them and resolving revisions.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gix::{
    ObjectId,
    bstr::{BStr, BString, ByteSlice},
    hash,
    refs::FullName,
    sec, validate,
};
use sha2::{Digest, Sha256};

use super::{
    Cache, Objects, Refs,
    objects::ObjectDirectory,
    refs,
    store::{causes, message},
};
use crate::error::{Error, Kind, Result};

/// The most memory that gix may allocate for one object while it resolves a
/// revision, in bytes.
const ALLOCATION_LIMIT: &str = "gitoxide.objects.allocLimit=134217728";

/// The extensions of the repository format that can be ignored, or are
/// supported.
const EXTENSIONS: [&str; 7] = [
    "noop",
    "noop-v1",
    "objectformat",
    "partialclone",
    "preciousobjects",
    "relativeworktrees",
    "worktreeconfig",
];

/// What a revision stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The commit; the null id if the branch is unborn.
    pub commit: ObjectId,
    /// The branch, without `refs/heads/`, if the revision names one; HEAD names
    /// the one that it is on.
    pub head: Option<BString>,
}

/// A repository on disk: bare, with a work tree, or a linked work tree.
///
/// Only its path is remembered. Every call reads the disk anew and sees the
/// effects of pushes and repacks.
#[derive(Clone, Debug)]
pub struct Repository {
    path: PathBuf,
    /// The absolute path of `GIT_COMMON_DIR`.
    common_dir: PathBuf,
    format: hash::Kind,
}

impl Repository {
    /// Opens the repository at `path`: a bare repository, a `.git` directory,
    /// or a work tree.
    ///
    /// The environment, the configuration of the user and of the system, and
    /// the owner of the repository are ignored.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if there is no repository, [`Kind::Unsupported`] if
    /// it has a format or an extension that cannot be read, [`Kind::Io`] if a
    /// disk fails.
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

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hash function of its object ids.
    pub fn object_format(&self) -> hash::Kind {
        self.format
    }

    /// Resolves a revision to a commit: anything that `git rev-parse` accepts
    /// without a `:`. Annotated tags are peeled. HEAD, and the branch that it is
    /// on, may be unborn.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if there is no such revision, or if it is ambiguous;
    /// [`Kind::Invalid`] if `rev` is malformed or is not a commit;
    /// [`Kind::Corrupt`] if the repository is damaged.
    pub fn resolve(&self, rev: &str) -> Result<Resolved> {
        let here = |error: Error| error.within(format!("{:?} in {}", rev, self.path.display()));
        if rev.is_empty() || rev.contains(':') || rev.contains("..") || rev.starts_with('-') {
            return Err(here(Error::new(Kind::Invalid, "not a revision")));
        }
        let repository = open(&self.path)?;
        let head = repository
            .head_name()
            .map_err(|error| here(unresolved(error)))?;
        let head = head.as_ref().map(FullName::as_bstr);
        let spec = match repository.rev_parse(rev) {
            Ok(spec) => spec,
            Err(error) => {
                if !repository.head().is_ok_and(|head| head.is_unborn()) {
                    return Err(here(self.damage().unwrap_or_else(|| unresolved(error))));
                }
                if let Some(head) = head.and_then(|name| branch(rev, name)) {
                    let (commit, head) = (ObjectId::null(self.format), Some(head));
                    return Ok(Resolved { commit, head });
                }
                if rev.starts_with("HEAD") || rev.starts_with('@') {
                    let message = format!("{} has no commits yet", self.path.display());
                    return Err(Error::new(Kind::NotFound, message));
                }
                return Err(here(unresolved(error)));
            }
        };
        let named = spec.first_reference().map(|found| found.name.as_bstr());
        let named = if is_head(rev) { head } else { named };
        let on = named.and_then(|name| branch(rev, name));
        let found = spec
            .single()
            .ok_or_else(|| here(Error::new(Kind::Invalid, "not a single revision")))?;
        let object = found.object().map_err(|error| here(unresolved(error)))?;
        let commit = object.peel_to_kind(gix::objs::Kind::Commit);
        let commit = commit.map(|commit| commit.id);
        commit
            .map(|commit| Resolved { commit, head: on })
            .map_err(|error| {
                let kind = if error.is_not_found() {
                    Kind::NotFound
                } else {
                    Kind::Invalid
                };
                here(Error::with_source(
                    kind,
                    format!("not a commit: {}", message(&error)),
                    error,
                ))
            })
    }

    /// The damage because of which objects may not be found: gix skips packs
    /// whose index it cannot read.
    fn damage(&self) -> Option<Error> {
        let objects = self.objects(&Cache::new(0, Path::new(""))).ok()?;
        let missing = objects.commit(ObjectId::null(self.format)).err()?;
        (missing.kind() == Kind::Corrupt).then_some(missing)
    }

    /// The objects of the repository in its current state: objects and packs
    /// that are added later are found too.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if there is no object directory.
    pub fn objects(&self, cache: &Arc<Cache>) -> Result<Objects> {
        let directory = self.object_directory();
        if !directory.is_dir() {
            let message = format!("{} has no object directory", self.path.display());
            return Err(Error::new(Kind::NotFound, message));
        }
        let directory = ObjectDirectory {
            label: self.label(),
            domain: self.key(),
            path: &directory,
            format: self.format,
            live: true,
        };
        Ok(Objects::open(directory, cache))
    }

    /// Identifies the repository on this machine; linked work trees of one
    /// repository have the same key.
    pub(super) fn key(&self) -> u64 {
        let hash: [u8; 32] = Sha256::digest(self.common_dir.as_os_str().as_encoded_bytes()).into();
        let (first, _) = hash.split_first_chunk().expect("32 bytes have a first 8");
        u64::from_be_bytes(*first)
    }

    /// Its name in error messages.
    pub(super) fn label(&self) -> String {
        format!("repository {}", self.path.display())
    }

    /// The absolute path of `GIT_COMMON_DIR`, which linked work trees share.
    pub(super) fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    pub(super) fn object_directory(&self) -> PathBuf {
        self.common_dir.join("objects")
    }

    /// Its current refs, and its `remote.origin.url`, if it has one that is a line
    /// of UTF-8. A user name and password are removed, since images are public to
    /// their clients.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] for a partial clone: it lacks objects, which git
    /// fetches from the promisor remote when it needs them, and of a snapshot it
    /// could not (git, `partial-clone.adoc`).
    pub(super) fn refs_and_origin(&self) -> Result<(Refs, Option<String>)> {
        let repository = open(&self.path)?;
        if is_partial(&repository) {
            let message = format!(
                "{} is a partial clone, and its history is not complete: serve a full clone \
                 (`git clone --mirror`), or show the files alone with history=none",
                self.path.display()
            );
            return Err(Error::new(Kind::Unsupported, message));
        }
        let refs = refs::read(&repository).map_err(|error| error.within(self.label()))?;
        Ok((refs, origin(&repository)))
    }
}

fn is_partial(repository: &gix::Repository) -> bool {
    let config = repository.config_snapshot();
    let remotes = config.plumbing().sections_by_name("remote");
    let mut remotes = remotes.into_iter().flatten();
    let promises = remotes.any(|section| {
        let name = section.header().subsection_name();
        name.is_some_and(|name| config.boolean(&format!("remote.{name}.promisor")) == Some(true))
    });
    promises || config.string("extensions.partialClone").is_some()
}

fn origin(repository: &gix::Repository) -> Option<String> {
    let url = repository.config_snapshot().string("remote.origin.url")?;
    let url = String::from_utf8(url.into()).ok()?;
    let is_line = !url.is_empty() && !url.contains(char::is_control);
    is_line.then(|| without_password(url))
}

/// `https://host/…` for `https://user:password@host/…`, and for
/// `https://user@host/…`, where the user may be a token. Other schemes keep a
/// user without a password.
fn without_password(url: String) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url;
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((user, host)) if scheme.starts_with("http") || user.contains(':') => {
            format!("{scheme}://{host}{path}")
        }
        _ => url,
    }
}

/// Opens the repository anew, since gix caches what it has read.
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
    let path_text = path.display();
    if !path.exists() {
        return Error::new(Kind::NotFound, format!("{path_text} does not exist"));
    }
    let kind = if error.is_unsupported() {
        Kind::Unsupported
    } else {
        Kind::NotFound
    };
    let reason = message(&error);
    Error::with_source(
        kind,
        format!("{path_text} cannot be opened as a repository: {reason}"),
        error,
    )
}

/// Refuses repository formats and extensions that are not supported, as git's
/// `Documentation/technical/repository-version.adoc` requires.
fn check_format(repository: &gix::Repository) -> Result<()> {
    let config = repository.config_snapshot();
    let unsupported = |what: String| {
        Err(Error::new(
            Kind::Unsupported,
            format!("{what}, which is not supported"),
        ))
    };
    let version = match config.try_integer("core.repositoryFormatVersion") {
        // Without one, git assumes version 0.
        Ok(version) => version.unwrap_or(0),
        Err(_) => return unsupported("the repository format is not a number".into()),
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

/// The branch that `rev` names, without `refs/heads/`, if it is the ref `name`
/// and nothing that is derived from one. HEAD is every name.
fn branch(rev: &str, name: &BStr) -> Option<BString> {
    let short = name.strip_prefix(b"refs/heads/")?;
    let full = name.as_bytes();
    let names = [Some(short), Some(full), full.strip_prefix(b"refs/")];
    let is_named = is_head(rev) || names.contains(&Some(rev.as_bytes()));
    is_named.then(|| short.into())
}

fn is_head(rev: &str) -> bool {
    matches!(rev, "HEAD" | "@")
}

/// Whether a branch may have this name, given without `refs/heads/` (git,
/// `check_refname_format`).
pub fn is_branch_name(name: &BStr) -> bool {
    let full = [b"refs/heads/", name.as_bytes()].concat();
    let forbidden = name == "HEAD" || name.starts_with(b"-");
    !forbidden && validate::reference::name(full.as_bstr()).is_ok()
}

fn unresolved(error: gix::Error) -> Error {
    let cause = causes(&error).pop().unwrap_or_else(|| error.to_string());
    Error::with_source(Kind::NotFound, cause, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_removed_from_urls() {
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
