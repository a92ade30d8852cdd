//! Repositories: opening them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gix::{
    ObjectId,
    bstr::{BStr, BString, ByteSlice},
    hash, sec, validate,
};
use sha2::{Digest, Sha256};

use super::{
    Cache, Objects, Refs,
    admission::{self, Places},
    admitted::Admitted,
    format,
    mapping::guarded,
    origin_url, refs,
    store::{Directory, causes, message},
    wall::Wall,
};
use crate::error::{Error, Kind, Result};

/// The most memory that gix may allocate for one object while it resolves a
/// revision, in bytes.
const ALLOCATION_LIMIT: &str = "gitoxide.objects.allocLimit=134217728";

/// A repository on disk: bare, with a work tree, or a linked work tree.
///
/// Only its path is remembered. Every call reads the disk anew and sees the
/// effects of pushes and repacks.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(super) path: PathBuf,
    /// The absolute path of `GIT_COMMON_DIR`.
    pub(super) common_dir: PathBuf,
    pub(super) format: hash::Kind,
    /// Nothing of it may lead out of this.
    pub(super) wall: Wall,
    /// What of it was looked through.
    pub(super) admitted: Arc<Admitted>,
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
        Self::open_within(path, &Wall::none())
    }

    /// The same, of a repository of which nothing may lead out of `wall`: neither
    /// its git directory, nor an alternate, nor a link in the place of a file.
    ///
    /// # Errors
    ///
    /// The same, and [`Kind::Refused`] if it leads out now. What leads out later
    /// is an error of what reads it.
    pub fn open_within(path: &Path, wall: &Wall) -> Result<Self> {
        let admitted = Arc::default();
        let repository = open(path, wall, &admitted)?;
        let common_dir = std::fs::canonicalize(repository.common_dir())
            .map_err(|error| Error::io("open", repository.common_dir(), error))?;
        Ok(Self {
            path: path.into(),
            common_dir,
            format: repository.object_hash(),
            wall: wall.clone(),
            admitted,
        })
    }

    /// The directories that the repository at `path` consists of now: its git
    /// directory, that of which it is a linked work tree, and its alternates.
    ///
    /// # Errors
    ///
    /// As for [`Repository::open`].
    pub fn directories(path: &Path) -> Result<Vec<PathBuf>> {
        let Some(places) = admission::places(path, &Wall::none())? else {
            return Ok(Vec::new());
        };
        let links = admission::links(&places);
        let Places { git, objects } = places;
        let canonical = |path: PathBuf| {
            std::fs::canonicalize(&path).map_err(|error| Error::io("open", &path, error))
        };
        let all = git.into_iter().chain(objects).map(canonical);
        let mut all = all.collect::<Result<Vec<_>>>()?;
        all.extend(links);
        Ok(all)
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The hash function of its object ids.
    pub fn object_format(&self) -> hash::Kind {
        self.format
    }

    /// Whether the repository has a commit now. It has the null id, which stands
    /// for an unborn branch.
    ///
    /// # Errors
    ///
    /// As for [`Objects::commit`]; not that it does not exist.
    pub fn has_commit(&self, commit: ObjectId, cache: &Arc<Cache>) -> Result<bool> {
        if commit.is_null() {
            return Ok(true);
        }
        match self.objects(cache)?.commit(commit) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The full name of the ref that `name` means; `None` if there is none.
    pub(super) fn full_name(&self, name: &str) -> Result<Option<BString>> {
        let find = || {
            let repository = open(&self.path, &self.wall, &self.admitted)?;
            let found = repository.try_find_reference(name);
            let found = found.map_err(|error| unresolved(error).within(format!("{name:?}")))?;
            Ok(found.map(|found| found.name().as_bstr().to_owned()))
        };
        let found = guarded(find);
        found.map_err(|error| Error::io("read", &self.common_dir, error))?
    }

    /// The damage because of which objects may not be found: gix skips packs
    /// whose index it cannot read.
    pub(super) fn damage(&self) -> Option<Error> {
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
        let directory = Directory {
            label: self.label(),
            path: &directory,
            format: self.format,
            live: true,
            wall: self.wall.clone(),
        };
        Ok(Objects::open(directory, self.key(), cache))
    }

    /// Identifies the repository on this machine; linked work trees of one
    /// repository have the same key.
    pub(super) fn key(&self) -> u64 {
        key_of(&self.common_dir)
    }

    /// What nothing of it may lead out of.
    pub(super) fn wall(&self) -> &Wall {
        &self.wall
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

    /// Its current refs, and its `remote.origin.url` as clients may see it.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] for a partial clone: it lacks objects, which git
    /// fetches from the promisor remote when it needs them, and of a snapshot it
    /// could not (git, `partial-clone.adoc`).
    pub(super) fn refs_and_origin(&self) -> Result<(Refs, Option<String>)> {
        let read = guarded(|| self.read_refs_and_origin());
        read.map_err(|error| Error::io("read", &self.common_dir, error))?
    }

    fn read_refs_and_origin(&self) -> Result<(Refs, Option<String>)> {
        let repository = open(&self.path, &self.wall, &self.admitted)?;
        if format::is_partial(&repository) {
            let message = format!(
                "{} is a partial clone, and its history is not complete: serve a full clone \
                 (`git clone --mirror`), or show the files alone with history=none",
                self.path.display()
            );
            return Err(Error::new(Kind::Unsupported, message));
        }
        let refs = refs::read(&repository).map_err(|error| error.within(self.label()))?;
        let origin = origin(&repository, !refs.tracking.is_empty());
        Ok((refs, origin))
    }
}

/// The key of the repository with this `GIT_COMMON_DIR`.
pub(super) fn key_of(common_dir: &Path) -> u64 {
    let hash: [u8; 32] = Sha256::digest(common_dir.as_os_str().as_encoded_bytes()).into();
    let (first, _) = hash.split_first_chunk().expect("32 bytes have a first 8");
    u64::from_be_bytes(*first)
}

/// The `remote.origin.url` as clients may see it; a path only of a repository
/// whose `origin/*` are shown, which would have no source without it.
fn origin(repository: &gix::Repository, with_path: bool) -> Option<String> {
    let url = repository.config_snapshot().string("remote.origin.url")?;
    let url = String::from_utf8(url.into()).ok()?;
    let path = || with_path.then(|| origin_url::path(&url))?;
    origin_url::shown(&url).or_else(path)
}

/// Opens the repository anew, since gix caches what it has read.
pub(super) fn open(path: &Path, wall: &Wall, admitted: &Admitted) -> Result<gix::Repository> {
    if path.exists() {
        admission::check(path, wall, admitted)?;
    }
    let options = gix::open::Options::isolated()
        .with(sec::Trust::Full)
        .config_overrides(["core.useReplaceRefs=false", ALLOCATION_LIMIT]);
    let repository = match options.open(path) {
        Ok(repository) => repository.to_thread_local(),
        Err(error) => return Err(not_opened(path, error)),
    };
    format::check(&repository).map_err(|error| error.within(path.display()))?;
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

/// Whether a branch may have this name, given without `refs/heads/` (git,
/// `check_refname_format`).
pub fn is_branch_name(name: &BStr) -> bool {
    let full = [b"refs/heads/", name.as_bytes()].concat();
    let forbidden = name == "HEAD" || name.starts_with(b"-");
    !forbidden && validate::reference::name(full.as_bstr()).is_ok()
}

pub(super) fn unresolved(error: gix::Error) -> Error {
    let cause = causes(&error).pop().unwrap_or_else(|| error.to_string());
    Error::with_source(Kind::NotFound, cause, error)
}
