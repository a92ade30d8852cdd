//! Encoding the git index: every file of the work tree with its `stat` data in
//! the image, so that git need not open a file to know that it is unchanged.
//!
//! The [format] has a `TREE` extension, which saves the first `git status` from
//! reading trees. `EOIE` and `IEOT`, with which git parses by several threads
//! where `index.threads` is set, `UNTR` and `FSMN` are in those only that are made
//! for a `core.fsmonitor`.
//!
//! [format]: https://git-scm.com/docs/index-format

mod bitmap;
pub(crate) mod extension;
mod sink;
pub(crate) mod untracked;

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

pub(crate) use sink::{Counter, Hasher, Sink, Window};

/// The version of an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// Whole paths, each entry padded to a multiple of 8 bytes. Every program
    /// that reads an index reads this version.
    #[default]
    V2,
    /// Of each path, what follows the prefix it has in common with the one
    /// before: about half as long. `GitPython` and isomorphic-git refuse it.
    V4,
}

impl Version {
    /// Its number.
    pub const fn number(self) -> u32 {
        match self {
            Self::V2 => 2,
            Self::V4 => 4,
        }
    }
}

/// The `stat` data of a file in the image. The device is recorded as 0: git
/// does not compare it by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    /// `st_ctime`: seconds since 1970, and nanoseconds.
    pub(crate) changed: [u32; 2],
    /// `st_mtime`: seconds since 1970, and nanoseconds.
    pub(crate) modified: [u32; 2],
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
        Self {
            ctime: stat.changed.map(U32::new),
            mtime: stat.modified.map(U32::new),
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

/// Writes an index to a [`Sink`], or a part of one: the [entries](Self::entry)
/// first, then the [trees](Self::trees). The hash of both that ends an index is
/// left to the caller.
#[derive(Debug)]
pub(crate) struct Encoder<S> {
    sink: S,
    form: Form,
    /// The path of the last entry.
    path: Vec<u8>,
}

/// What the length of an entry depends on, beside its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) kind: Kind,
    pub(crate) version: Version,
}

impl<S: Sink> Encoder<S> {
    /// Starts an index of exactly `entries` entries.
    pub(crate) fn new(mut sink: S, entries: u32, form: Form) -> Self {
        let header = Header {
            signature: *b"DIRC",
            version: U32::new(form.version.number()),
            entries: U32::new(entries),
        };
        sink.put(header.as_bytes());
        Self::after(sink, form, Vec::new())
    }

    /// Goes on after the entry with this path; an empty path stands for the
    /// header.
    pub(crate) fn after(sink: S, form: Form, path: Vec<u8>) -> Self {
        Self { sink, form, path }
    }

    /// Where it writes to.
    pub(crate) fn sink(&self) -> &S {
        &self.sink
    }

    /// The same, for extensions.
    pub(crate) fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Adds the next file, symlink or gitlink, with its path relative to the
    /// root of the work tree. Entries must be added in the order of their paths.
    pub(crate) fn entry(&mut self, path: &[u8], mode: EntryMode, id: &oid, stat: &Stat) {
        let length = exact(path.len().min(NAME_MASK));
        self.sink.put(StatData::new(mode, stat).as_bytes());
        self.sink.put(id.as_bytes());
        self.sink.put(U16::new(length).as_bytes());
        match self.form.version {
            Version::V2 => {
                self.sink.put(path);
                let unpadded = self.form.fixed_length() + path.len();
                self.sink
                    .put([0; PADDING].split_at(PADDING - unpadded % PADDING).0);
            }
            Version::V4 => self.compressed(path),
        }
    }

    /// Adds the path of an entry of version 4.
    fn compressed(&mut self, path: &[u8]) {
        let shared = common_prefix(&self.path, path);
        let (_, rest) = path.split_at(shared);
        put_varint(&mut self.sink, self.path.len() - shared, 0);
        self.sink.put(rest);
        self.sink.put(&[0]);
        self.path.truncate(shared);
        self.path.extend_from_slice(rest);
    }

    /// Starts the trees, which are `length` bytes long by [`Tree::length`].
    /// Without trees there is no such extension.
    pub(crate) fn trees(&mut self, length: u32) {
        self.sink.put(b"TREE");
        self.sink.put(U32::new(length).as_bytes());
    }

    /// Adds the next directory in pre-order, the root first with an empty name.
    ///
    /// Gitlinks are entries, not directories. git accepts the directories of
    /// one parent in any order. It writes them, and reads them fastest, with
    /// shorter names first and names of the same length in byte order.
    pub(crate) fn tree(&mut self, tree: &Tree<'_>) {
        self.sink.put(tree.name);
        self.sink.put(tree.counts().as_bytes());
        if tree.entries.is_some() {
            self.sink.put(tree.id.as_bytes());
        }
    }

    /// The end of the index; the hash of all that was written follows.
    pub(crate) fn finish(self) -> S {
        self.sink
    }
}

/// A directory in the `TREE` extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'a> {
    pub(crate) name: &'a [u8],
    /// The number of entries below it at any depth; `None` for a directory whose
    /// tree git would write otherwise than it is, or one above such a directory:
    /// git computes its id when it needs it.
    pub(crate) entries: Option<u32>,
    /// The number of its direct subdirectories.
    pub(crate) subtrees: u32,
    /// The id of its tree.
    pub(crate) id: &'a oid,
}

impl Tree<'_> {
    fn counts(&self) -> String {
        let entries = self.entries.map_or(-1, i64::from);
        format!("\0{entries} {}\n", self.subtrees)
    }

    /// The number of bytes that [`Encoder::tree`] writes.
    pub(crate) fn length(&self) -> u64 {
        let id = self.entries.map_or(0, |_| self.id.as_bytes().len());
        to_u64(self.name.len() + self.counts().len() + id)
    }
}

/// The length of the header in bytes.
pub(crate) const HEADER_LENGTH: u64 = to_u64(size_of::<Header>());
/// The length in bytes of what [`Encoder::trees`] writes.
pub(crate) const TREES_LENGTH: u64 = 8;
/// Entries of version 2 are padded to a multiple of so many bytes, with at
/// least one NUL.
const PADDING: usize = 8;

impl Form {
    /// The length in bytes of an entry up to its path.
    fn fixed_length(self) -> usize {
        size_of::<StatData>() + self.kind.len_in_bytes() + size_of::<U16>()
    }

    /// The number of bytes that [`Encoder::entry`] writes for a path of `length`
    /// bytes whose first `shared` bytes are those of the path before it, which
    /// is `before` bytes long.
    pub(crate) fn entry_length(self, before: usize, shared: usize, length: usize) -> u64 {
        match self.version {
            Version::V2 => to_u64((self.fixed_length() + length + PADDING) / PADDING * PADDING),
            Version::V4 => {
                let mut counter = Counter::default();
                put_varint(&mut counter, before - shared, 0);
                // The rest of the path, and a NUL.
                let rest = length - shared + 1;
                counter.bytes() + to_u64(self.fixed_length() + rest)
            }
        }
    }
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
