//! `blockd fsmonitor`: tells git which files of an attached work tree to look at
//! (githooks(5), `fsmonitor-watchman`, version 2).
//!
//! ```text
//! upper layer ──► changes ─┐
//! index now ─┬─► entries ──┼─► answer: every path that is not as in the image
//! index of   │             │
//!  the image ┘  untracked ─┘
//! ```
//!
//! Git believes its index of every path that is not named. So a path is left out
//! only where the upper layer has nothing *and* git's index has what the image's
//! has. To name what the upper layer has is not enough: what was there only, and is
//! gone, leaves nothing behind; and libraries copy what they do not understand.
//!
//! What is mounted in the work tree hides what the layers have.
//!
//! The state of the tree decides, and not what has happened: the token is always
//! the same. What cannot be told is answered with `/`, look at everything.

mod answer;
mod changes;
mod entries;
mod index;
mod mounts;
mod untracked;

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use self::{answer::Answer, changes::Changes, index::Index};

/// What git asks, and where the layers of the work tree are. The current directory is
/// the one that git calls a work tree.
#[derive(Clone, Debug)]
pub struct FsmonitorOptions {
    /// The version of the protocol.
    pub version: u32,
    /// The directory with the changes; `None` where they are no files.
    pub upper: Option<PathBuf>,
    /// The image, mounted without changes.
    pub lower: PathBuf,
    /// Where both are mounted together.
    pub worktree: PathBuf,
    /// The index that git uses, relative to the work tree.
    pub index: PathBuf,
    /// The length of an object id in bytes.
    pub id_length: usize,
}

/// The answer to git, which never fails: what cannot be told is all.
pub fn fsmonitor(options: &FsmonitorOptions) -> Vec<u8> {
    let answer = match find(options) {
        Ok(Some(answer)) => answer,
        Ok(None) => Answer::everything(),
        Err(error) => {
            tracing::debug!("git looks at every file: {error}");
            Answer::everything()
        }
    };
    answer.encode(options.version)
}

/// The paths that differ; `None` if that cannot be told.
///
/// # Errors
///
/// When a directory or an index cannot be read.
fn find(options: &FsmonitorOptions) -> io::Result<Option<Answer>> {
    let Some(upper) = &options.upper else {
        return Ok(None);
    };
    if options.version != 2 || !is_same(Path::new("."), &options.worktree)? {
        return Ok(None);
    }
    let Some(hidden) = mounts::below(&options.worktree, upper)? else {
        return Ok(None);
    };
    let mut changes = Changes::find(upper, &options.lower)?;
    changes.names.extend(hidden.iter().cloned());
    changes.replaced.extend(hidden);
    let base = options.lower.join(".git/index");
    let is_base = index::have_same_end(&options.index, &base)?;
    let mut answer = Answer::of(changes.names);
    if is_base && changes.replaced.is_empty() {
        return Ok(Some(answer));
    }
    let Some(current) = Index::read(&options.index, options.id_length)? else {
        return Ok(None);
    };
    if !is_base {
        let Some(base) = Index::read(&base, options.id_length)? else {
            return Ok(None);
        };
        entries::compare(&current, &base, &mut answer);
    }
    let listed = match current.untracked() {
        Some(known) => untracked::list(known, &changes.replaced, &mut answer),
        None => Some(()),
    };
    Ok(listed.map(|()| answer))
}

/// Whether both indexes have the same entries, whatever else is in them. Ids are
/// `id_length` bytes long.
pub(crate) fn have_same_entries(one: Vec<u8>, other: Vec<u8>, id_length: usize) -> bool {
    let parse = |bytes| Index::parse(bytes, id_length);
    let (Some(one), Some(other)) = (parse(one), parse(other)) else {
        return false;
    };
    let mut answer = Answer::of([]);
    entries::compare(&one, &other, &mut answer);
    answer.is_nothing()
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let id = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino()));
    Ok(id(one)? == id(other)?)
}
