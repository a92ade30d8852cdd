//! What a name that may move is pinned to.

use std::time::{Duration, SystemTime};

use imagegen::{
    git::{BString, ObjectId},
    image::FileTime,
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

pub(super) fn latest_time() -> FileTime {
    // A clock that shows the first second of all has nothing before it.
    let now = SystemTime::now();
    FileTime::at(now.checked_sub(BEHIND).unwrap_or(now))
}
