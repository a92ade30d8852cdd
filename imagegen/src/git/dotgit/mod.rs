//! The files of the `.git` that an image shows, except those in `objects/`.
//! They depend on the commit and the snapshot only.

mod config;
pub(crate) mod index;
mod refs;

#[cfg(test)]
mod tests;

use gix::{
    ObjectId,
    bstr::{BStr, BString},
    hash::Kind,
};

use crate::{
    Result,
    git::{Commit, Refs, Snapshot},
};

pub(crate) use config::INCLUDED;
use config::{Config, NO_MONITOR};
use refs::{Head, Shown, symbolic};

/// The directories of a `.git` that exist also without files in them, sorted.
/// git requires `objects` and `refs`; installers of hooks expect `hooks`.
pub(crate) const DIRECTORIES: [&str; 7] = [
    "hooks",
    "objects",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "refs/tags",
];

/// git's template. Only repository browsers show it.
const DESCRIPTION: &[u8] =
    b"Unnamed repository; edit this file 'description' to name the repository.\n";
/// git's template (`templates/info--exclude`).
pub(crate) const EXCLUDE: &[u8] = b"\
# git ls-files --others --exclude-from=.git/info/exclude
# Lines that start with '#' are comments.
# For a project mostly in C, the following would be a good set of
# exclude patterns (uncomment them if you want to use them):
# *.[oa]
# *~
";

/// The files of `.git` except `index` and those in `objects`: those that `git
/// clone` makes. `head` is the branch that HEAD is on, without `refs/heads/`;
/// `None` if it is detached at `commit`. On an unborn branch the commit is null.
/// `fsmonitor` is [`Options::fsmonitor`](crate::image::Options::fsmonitor).
///
/// Other than in a clone there are no samples of hooks, which do nothing; the
/// configuration leaves maintenance to the server; and the reflog has the date
/// of the commit, since the image does not depend on the clock.
///
/// # Errors
///
/// [`Kind::Invalid`](crate::Kind::Invalid) if a branch that the image shows
/// leaves no room for one of the name `head`.
pub(crate) fn small_files(
    snapshot: &Snapshot,
    commit: &Commit,
    head: Option<&BStr>,
    fsmonitor: bool,
) -> Result<Vec<(BString, Vec<u8>)>> {
    let parts = Parts {
        fsmonitor,
        kind: snapshot.object_format(),
        refs: snapshot.refs(),
        origin: snapshot.origin(),
        shallow: snapshot.shallow(),
    };
    parts.files(commit, head)
}

/// The parts of a snapshot that these files depend on.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    fsmonitor: bool,
    kind: Kind,
    refs: &'a Refs,
    origin: Option<&'a str>,
    shallow: Option<&'a [u8]>,
}

impl Parts<'_> {
    fn files(&self, commit: &Commit, head: Option<&BStr>) -> Result<Vec<(BString, Vec<u8>)>> {
        let id = commit.id;
        let head = head.map_or(Head::Detached(id), Head::Branch);
        let shown = Shown::of(self.refs, &head)?;
        let config = Config {
            kind: self.kind,
            origin: self.origin.map(str::as_bytes),
            upstream: shown.upstream(&head),
            fsmonitor: self.fsmonitor,
        };
        let mut files: Vec<(BString, Vec<u8>)> = vec![
            ("HEAD".into(), head.encode()),
            ("config".into(), config.encode()),
            ("description".into(), DESCRIPTION.to_vec()),
            ("info/exclude".into(), EXCLUDE.to_vec()),
        ];
        if self.fsmonitor {
            files.push((INCLUDED.into(), NO_MONITOR.to_vec()));
        }
        if !shown.is_empty() {
            files.push(("packed-refs".into(), shown.packed()));
        }
        if !id.is_null() {
            files.push(("logs/HEAD".into(), self.reflog(commit, id)));
        }
        if let (Some(branch), false) = (head.branch(), id.is_null()) {
            let log = [b"logs/", branch.as_slice()].concat();
            files.push((branch, format!("{id}\n").into_bytes()));
            files.push((log.into(), self.reflog(commit, id)));
        }
        if let Some((name, id)) = shown.origin_head() {
            files.push(("refs/remotes/origin/HEAD".into(), symbolic(name)));
            let log = self.reflog(commit, id);
            files.push(("logs/refs/remotes/origin/HEAD".into(), log));
        }
        files.extend(self.shallow.map(|file| ("shallow".into(), file.to_vec())));
        Ok(files)
    }

    /// The reflog of a ref that was made by a clone, when the commit was made.
    fn reflog(&self, commit: &Commit, id: ObjectId) -> Vec<u8> {
        let (before, seconds) = (ObjectId::null(self.kind), commit.seconds.max(0));
        let origin = self.origin.unwrap_or("blockd");
        format!("{before} {id} blockd <blockd> {seconds} +0000\tclone: from {origin}\n").into()
    }
}
