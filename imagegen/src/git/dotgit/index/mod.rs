//! Encoding the git index: every file of the work tree with its `stat` data in
//! the image, so that git need not open a file to know that it is unchanged.
//!
//! The format is [version 4] with a `TREE` extension, which saves the first
//! `git status` from reading trees. `EOIE` and `IEOT`, with which git parses by
//! several threads, are omitted: with 57k entries and two cores, git loads the
//! index in 10.0 ms without and in 10.6 ms with them.
//!
//! [version 4]: https://git-scm.com/docs/index-format

mod sink;

#[cfg(test)]
mod tests;

use gix::{hash::Kind, oid};
use zerocopy::{
    Immutable, IntoBytes,
    big_endian::{U16, U32},
};

use crate::{
    git::EntryMode,
    numbers::{exact, to_u64},
};

pub(crate) use sink::{Counter, Sink};

/// The `stat` data of a file in the image.
///
/// Fractions of seconds and the device are recorded as 0: git compares neither
/// by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    /// `st_mtime` and `st_ctime`.
    pub(crate) seconds: u32,
    /// `st_ino`.
    pub(crate) inode: u32,
    /// `st_uid`.
    pub(crate) uid: u32,
    /// `st_gid`.
    pub(crate) gid: u32,
    /// `st_size` as given by [`recorded_size`].
    pub(crate) size: u32,
}

/// The size of a file as recorded in the index: its low 32 bits, but never 0
/// for a file that is not empty, since 0 makes git compare the content (git,
/// `munge_st_size`).
pub(crate) fn recorded_size(length: u64) -> u32 {
    match exact(length & 0xffff_ffff) {
        0 if length != 0 => 0x8000_0000,
        low => low,
    }
}

#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct Header {
    signature: [u8; 4],
    version: U32,
    entries: U32,
}

/// An entry up to its object id.
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct StatData {
    ctime: [U32; 2],
    mtime: [U32; 2],
    dev: U32,
    ino: U32,
    mode: U32,
    uid: U32,
    gid: U32,
    size: U32,
}

impl StatData {
    fn new(mode: EntryMode, stat: &Stat) -> Self {
        let time = [stat.seconds.into(), U32::ZERO];
        Self {
            ctime: time,
            mtime: time,
            dev: U32::ZERO,
            ino: stat.inode.into(),
            mode: mode.bits().into(),
            uid: stat.uid.into(),
            gid: stat.gid.into(),
            size: stat.size.into(),
        }
    }
}

/// The longest path length that the flags of an entry can express; also that of
/// longer paths.
const NAME_MASK: usize = 0xfff;

/// Writes an index to a [`Sink`]: the [entries](Self::entry) first, then the
/// [trees](Self::tree), and at last the [hash](Self::finish).
#[derive(Debug)]
pub(crate) struct Encoder<S> {
    sink: S,
    kind: Kind,
    /// The path of the last entry.
    path: Vec<u8>,
    trees: Vec<u8>,
}

impl<S: Sink> Encoder<S> {
    /// Starts an index of exactly `entries` entries.
    pub(crate) fn new(mut sink: S, entries: u32, kind: Kind) -> Self {
        let header = Header {
            signature: *b"DIRC",
            version: U32::new(4),
            entries: U32::new(entries),
        };
        sink.put(header.as_bytes());
        Self {
            sink,
            kind,
            path: Vec::new(),
            trees: Vec::new(),
        }
    }

    /// Adds the next file, symlink or gitlink, with its path relative to the
    /// root of the work tree. Entries must be added in the order of their paths.
    pub(crate) fn entry(&mut self, path: &[u8], mode: EntryMode, id: &oid, stat: &Stat) {
        let shared = common_prefix(&self.path, path);
        let (_, rest) = path.split_at(shared);
        let length = exact(path.len().min(NAME_MASK));

        self.sink.put(StatData::new(mode, stat).as_bytes());
        self.sink.put(id.as_bytes());
        self.sink.put(U16::new(length).as_bytes());
        put_varint(&mut self.sink, self.path.len() - shared, 0);
        self.sink.put(rest);
        self.sink.put(&[0]);

        self.path.truncate(shared);
        self.path.extend_from_slice(rest);
    }

    /// Adds the next directory in pre-order, the root first with an empty name:
    /// the number of entries below it at any depth, the number of its direct
    /// subdirectories, and the id of its tree.
    ///
    /// Gitlinks are entries, not directories. git accepts the directories of
    /// one parent in any order. It writes them, and reads them fastest, with
    /// shorter names first and names of the same length in byte order.
    pub(crate) fn tree(&mut self, name: &[u8], entry_count: u32, subtree_count: u32, id: &oid) {
        self.trees.extend_from_slice(name);
        self.trees
            .extend_from_slice(format!("\0{entry_count} {subtree_count}\n").as_bytes());
        self.trees.extend_from_slice(id.as_bytes());
    }

    /// Adds a directory whose tree git would write otherwise than it is, or one
    /// above such a directory: git computes its id when it needs it.
    pub(crate) fn invalid_tree(&mut self, name: &[u8], subtree_count: u32) {
        self.trees.extend_from_slice(name);
        self.trees
            .extend_from_slice(format!("\0-1 {subtree_count}\n").as_bytes());
    }

    /// Writes the trees and the hash of the whole index.
    pub(crate) fn finish(mut self) -> S {
        if !self.trees.is_empty() {
            self.sink.put(b"TREE");
            self.sink.put(U32::new(exact(self.trees.len())).as_bytes());
            self.sink.put(&self.trees);
        }
        self.sink.seal(self.kind);
        self.sink
    }
}

/// The number of bytes that [`Encoder::entry`] writes for a path of `length`
/// bytes whose first `shared` bytes are those of the path before it, which is
/// `before` bytes long.
pub(crate) fn entry_length(kind: Kind, before: usize, shared: usize, length: usize) -> u64 {
    let fixed = size_of::<StatData>() + kind.len_in_bytes() + size_of::<U16>();
    let mut counter = Counter::default();
    put_varint(&mut counter, before - shared, 0);
    // The rest of the path, and a NUL.
    let rest = length - shared + 1;
    counter.bytes() + to_u64(fixed + rest)
}

/// Writes a number in git's offset encoding, the most significant 7 bits first.
/// `flag` is 0x80 if another byte follows, else 0.
fn put_varint(sink: &mut impl Sink, value: usize, flag: u8) {
    if let Some(rest) = (value >> 7).checked_sub(1) {
        put_varint(sink, rest, 0x80);
    }
    sink.put(&[value.to_le_bytes()[0] & 0x7f | flag]);
}

/// The length of the common prefix, compared eight bytes at a time.
pub(crate) fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let chunks = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
    let whole = chunks.take_while(|(a, b)| a == b).count() * 8;
    let ((_, one), (_, other)) = (one.split_at(whole), other.split_at(whole));
    let rest = one.iter().zip(other);
    whole + rest.take_while(|(a, b)| a == b).count()
}
