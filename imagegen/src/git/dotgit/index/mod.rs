//! The index: every file of the work tree with its `stat` as the image shows
//! it, so that git need not open one to know that nothing changed.
//!
//! [Version 4] with a `TREE` extension, which spares the first `git status`
//! the reading of trees. `EOIE` and `IEOT`, which let git parse with several
//! threads, are left out: with 57k entries and two cores git loads the index
//! in 10.0 ms without and in 10.6 ms with them.
//!
//! [Version 4]: https://git-scm.com/docs/index-format

mod sink;

#[cfg(test)]
mod tests;

use gix::{hash::Kind, oid};
use zerocopy::{
    Immutable, IntoBytes,
    big_endian::{U16, U32},
};

use crate::git::EntryMode;

pub use sink::{Counter, Sink};

/// What `stat` says of a file in the image.
///
/// The times of content and inode are both `seconds`, without a fraction, and
/// the device is 0: git compares neither fraction nor device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// `st_mtime` and `st_ctime`.
    pub seconds: u32,
    /// `st_ino`.
    pub inode: u32,
    /// `st_uid`.
    pub uid: u32,
    /// `st_gid`.
    pub gid: u32,
    /// `st_size`, as [`recorded_size`] tells it.
    pub size: u32,
}

/// A length as the index records it: 32 bits of it, but never 0 for what is
/// not empty, since git takes 0 for "look at the content" (`munge_st_size`).
pub fn recorded_size(length: u64) -> u32 {
    match u32::try_from(length & 0xffff_ffff) {
        Ok(0) if length != 0 => 0x8000_0000,
        low => low.unwrap_or(u32::MAX),
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

/// The longest name the flags of an entry can tell; longer ones say this.
const NAME_MASK: u16 = 0xfff;

/// Writes an index: first the [entries](Self::entry), then the
/// [trees](Self::tree), then the [hash](Self::finish).
///
/// Driven with the same calls, a [`Counter`] counts what a `Vec` would hold.
#[derive(Debug)]
pub struct Encoder<S> {
    sink: S,
    kind: Kind,
    /// The path of the entry before, of which the next one may share a part.
    path: Vec<u8>,
    trees: Vec<u8>,
}

impl<S: Sink> Encoder<S> {
    /// Begins an index of exactly `entries` entries.
    pub fn new(mut sink: S, entries: u32, kind: Kind) -> Self {
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

    /// The next file, symbolic link or gitlink, with its path from the root of
    /// the work tree. They come sorted by the bytes of their paths.
    pub fn entry(&mut self, path: &[u8], mode: EntryMode, id: &oid, stat: &Stat) {
        let shared = common_prefix(&self.path, path);
        let rest = path.get(shared..).unwrap_or_default();
        let length = u16::try_from(path.len())
            .unwrap_or(NAME_MASK)
            .min(NAME_MASK);

        self.sink.put(StatData::new(mode, stat).as_bytes());
        self.sink.put(id.as_bytes());
        self.sink.put(U16::new(length).as_bytes());
        put_varint(&mut self.sink, self.path.len().saturating_sub(shared), 0);
        self.sink.put(rest);
        self.sink.put(&[0]);

        self.path.truncate(shared);
        self.path.extend_from_slice(rest);
    }

    /// The next directory in pre-order, the root first and without a name:
    /// how many entries lie below it at any depth, how many directories right
    /// in it, and its tree.
    ///
    /// Gitlinks are entries, not directories. git reads the directories of
    /// one parent in any order; fastest, and as it writes them itself, are the
    /// shorter names first and names of one length by their bytes.
    pub fn tree(&mut self, name: &[u8], entry_count: u32, subtree_count: u32, id: &oid) {
        self.trees.extend_from_slice(name);
        self.trees
            .extend_from_slice(format!("\0{entry_count} {subtree_count}\n").as_bytes());
        self.trees.extend_from_slice(id.as_bytes());
    }

    /// Ends the index with the hash over all of it.
    pub fn finish(mut self) -> S {
        // Over 4 GiB there is no such extension; git does without.
        if let (Ok(length), false) = (u32::try_from(self.trees.len()), self.trees.is_empty()) {
            self.sink.put(b"TREE");
            self.sink.put(U32::new(length).as_bytes());
            self.sink.put(&self.trees);
        }
        self.sink.seal(self.kind);
        self.sink
    }
}

/// How many bytes [`Encoder::entry`] writes for a path of `length` bytes that
/// begins like the path before it, of `before` bytes, for `shared` bytes.
pub fn entry_length(kind: Kind, before: usize, shared: usize, length: usize) -> u64 {
    let fixed = size_of::<StatData>()
        .saturating_add(kind.len_in_bytes())
        .saturating_add(size_of::<U16>());
    let mut counter = Counter::default();
    put_varint(&mut counter, before.saturating_sub(shared), 0);
    // The rest of the path, and a NUL.
    let rest = length.saturating_sub(shared).saturating_add(1);
    let others = u64::try_from(fixed.saturating_add(rest)).unwrap_or(u64::MAX);
    counter.bytes().saturating_add(others)
}

/// A number in git's offset encoding, most significant 7 bits first; `flag`
/// says whether the byte written here is followed by another.
fn put_varint(sink: &mut impl Sink, value: usize, flag: u8) {
    if let Some(rest) = (value >> 7).checked_sub(1) {
        put_varint(sink, rest, 0x80);
    }
    sink.put(&[value.to_le_bytes()[0] & 0x7f | flag]);
}

/// How many bytes both begin with, eight at a time while they agree.
pub fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let (ours, theirs) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let whole = ours
        .iter()
        .zip(theirs)
        .take_while(|(a, b)| a == b)
        .count()
        .saturating_mul(8);
    let (ours, theirs) = (one.get(whole..), other.get(whole..));
    let rest = ours.into_iter().flatten().zip(theirs.into_iter().flatten());
    whole.saturating_add(rest.take_while(|(a, b)| a == b).count())
}
