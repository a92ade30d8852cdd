//! The `UNTR` extension: what git found in the directories of the work tree, so
//! that it lists none whose `stat` data is still that (git,
//! `write_untracked_extension` in `dir.c`).
//!
//! ```text
//! head │ directory … │ three bitmaps │ stat of each │ id of each .gitignore │ NUL
//! ```
//!
//! A directory that is not mentioned, or mentioned with other `stat` data or
//! another id, is listed: what is wrong costs time and gives no wrong answer.

use gix::{ObjectId, hash::Kind, objs, oid};
use zerocopy::{IntoBytes, big_endian::U32};

use super::{Sink, Stat, bitmap, put_varint};
use crate::{
    git::object_hash::ObjectHash,
    numbers::{to_u64, to_usize},
};

/// `DIR_SHOW_OTHER_DIRECTORIES` and `DIR_HIDE_EMPTY_DIRECTORIES`: how `git
/// status` looks for untracked files unless it is told otherwise.
const FLAGS: u32 = 6;
/// The length of a `stat` in this extension.
pub(crate) const STAT_LENGTH: u64 = 36;
/// Those of `info/exclude` and `core.excludesFile`: not known.
const UNKNOWN: [u8; 72] = [0; 72];
/// The end of the extension.
pub(crate) const END: [u8; 1] = [0];

/// What precedes the directories. `worktree` is where the work tree is mounted;
/// `exclude` the content of `info/exclude`.
pub(crate) fn head(kind: Kind, worktree: &[u8], exclude: &[u8], directories: u32) -> Vec<u8> {
    let identity = [b"Location ", worktree, b", system Linux\0"].concat();
    let mut head = Vec::new();
    put_varint(&mut head, identity.len(), 0);
    head.put(&identity);
    head.put(&UNKNOWN);
    head.put(&FLAGS.to_be_bytes());
    head.put(read_id(kind, exclude).as_bytes());
    // There is no core.excludesFile.
    head.put(ObjectId::null(kind).as_bytes());
    head.put(b".gitignore\0");
    put_varint(&mut head, to_usize(directories), 0);
    head
}

/// Adds the next directory in pre-order, those of one parent in byte order of
/// their names; the root has an empty name.
pub(crate) fn put_directory(sink: &mut impl Sink, name: &[u8], subdirectories: u32) {
    put_varint(sink, 0, 0);
    put_varint(sink, to_usize(subdirectories), 0);
    sink.put(name);
    sink.put(&[0]);
}

/// The bitmaps: all `directories` are valid, none was only checked for whether it
/// is empty, and those at the positions `ignoring` have a `.gitignore`.
pub(crate) fn bitmaps(directories: u32, ignoring: &[u32]) -> Vec<u8> {
    [
        bitmap::ones(directories),
        bitmap::of(&[]),
        bitmap::of(ignoring),
    ]
    .concat()
}

/// Adds the `stat` data of a directory.
pub(crate) fn put_stat(sink: &mut impl Sink, stat: &Stat) {
    let [changed, modified] = [stat.changed, stat.modified].map(|time| time.map(U32::new));
    let rest = [0, stat.inode, stat.uid, stat.gid, stat.size].map(U32::new);
    sink.put(changed.as_bytes());
    sink.put(modified.as_bytes());
    sink.put(rest.as_bytes());
}

/// The id by which git knows the content of a `.gitignore` that it has read
/// itself: it appends a newline first (git, `add_patterns`). Of one that it need
/// not read, since it is tracked and checkin does not convert it, that of its blob.
pub(crate) fn read_id(kind: Kind, content: &[u8]) -> ObjectId {
    let newline: &[u8] = if content.is_empty() { b"" } else { b"\n" };
    let length = to_u64(content.len() + newline.len());
    let hash = ObjectHash::new(kind, objs::Kind::Blob, length);
    let mut hash = hash.expect("objects of no other format were read");
    hash.update(content);
    hash.update(newline);
    hash.finish()
}

/// Adds the id of a `.gitignore`.
pub(crate) fn put_id(sink: &mut impl Sink, id: &oid) {
    sink.put(id.as_bytes());
}
