//! What a name that may move is pinned to.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, SystemTime},
};

use imagegen::{
    Error, Kind, Result,
    git::{BString, Cache, ObjectId, Repository, Resolved},
    image::FileTime,
};

use super::{
    name::ExportName,
    revision::{self, RevisionLimits},
    revision_pins::{PinGuard, RevisionPins},
};

/// What a name that may move stands for.
#[derive(Clone, Debug)]
pub(super) struct Pinned {
    pub(super) commit: ObjectId,
    /// The branch that the name names.
    pub(super) head: Option<BString>,
    /// The latest time that its files have, unless the name says one; `None` for
    /// a canonical name, which says all.
    pub(super) latest: Option<FileTime>,
}

/// How far files are behind the clock at least: tools take a file for changed
/// that has the time of the present second, or of one to come.
const BEHIND: Duration = Duration::from_secs(2);

fn latest_time() -> FileTime {
    // A clock that shows the first second of all has nothing before it.
    let now = SystemTime::now();
    FileTime::at(now.checked_sub(BEHIND).unwrap_or(now))
}

/// What names stand for.
#[derive(Debug)]
pub(super) struct Revisions {
    pins: RevisionPins<Pinned>,
    limits: RevisionLimits,
    cache: Arc<Cache>,
}

impl Revisions {
    pub(super) fn new(limits: RevisionLimits, cache: &Arc<Cache>) -> Self {
        Self {
            pins: RevisionPins::default(),
            limits,
            cache: Arc::clone(cache),
        }
    }

    /// What a name stands for; a revision, which may move, is pinned to it.
    ///
    /// # Errors
    ///
    /// As for [`Repository::resolve`], and a revision may be refused; of a canonical
    /// name, that the repository no longer has the commit.
    pub(super) fn resolve(
        &self,
        name: &ExportName,
        repository: &Repository,
    ) -> Result<(Pinned, Option<PinGuard<Pinned>>)> {
        if name.layout.is_some() {
            return Ok((self.canonical(name, repository)?, None));
        }
        let key = format!("{}@{}", name.repo, name.rev);
        let is_new = Cell::new(false);
        let resolve = || {
            is_new.set(true);
            revision::check(&name.rev, self.limits)?;
            let Resolved { commit, head } = repository.resolve(&name.rev)?;
            let latest = Some(latest_time());
            Result::Ok(Pinned {
                commit,
                head,
                latest,
            })
        };
        let (pinned, pin) = self.pins.pin(key.clone(), resolve)?;
        if is_new.get() || repository.has_commit(pinned.commit, &self.cache)? {
            return Ok((pinned, Some(pin)));
        }
        // Purged meanwhile.
        self.pins.forget(&key);
        let (pinned, pin) = self.pins.pin(key, resolve)?;
        Ok((pinned, Some(pin)))
    }

    fn canonical(&self, name: &ExportName, repository: &Repository) -> Result<Pinned> {
        let commit = ObjectId::from_hex(name.rev.as_bytes()).map_err(|_| {
            let message = format!(
                "{:?} is no full commit id, as a canonical name has",
                name.rev
            );
            Error::new(Kind::Invalid, message)
        })?;
        if !repository.has_commit(commit, &self.cache)? {
            let reason = format!(
                "it has no commit {commit}, or has it no longer: attach a branch or a commit \
                 that it has"
            );
            return Err(Error::new(Kind::NotFound, reason));
        }
        Ok(Pinned {
            commit,
            head: None,
            latest: None,
        })
    }
}
