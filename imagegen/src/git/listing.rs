//! The entries of one tree with the sizes of its blobs, packed tightly.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use gix::{hash::Kind, oid};

use super::counted::Counted;
use crate::numbers::{to_u64, to_usize};

/// The type of a tree entry, after git's normalization of modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryMode {
    /// `100644`, and other modes of regular files without `u+x`.
    File,
    /// `100755`.
    Executable,
    /// `120000`.
    Symlink,
    /// `40000`.
    Directory,
    /// `160000`: a submodule's commit.
    Gitlink,
}

impl EntryMode {
    /// Whether the entry's id is that of a blob.
    pub const fn is_blob(self) -> bool {
        matches!(self, Self::File | Self::Executable | Self::Symlink)
    }

    /// The mode in a tree or an index.
    pub const fn bits(self) -> u32 {
        match self {
            Self::File => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Symlink => 0o120_000,
            Self::Directory => 0o040_000,
            Self::Gitlink => 0o160_000,
        }
    }

    /// The type of an entry with the mode `bits` (git, `canon_mode`).
    pub const fn from_bits(bits: u32) -> Self {
        match bits & 0o170_000 {
            0o100_000 if bits & 0o100 != 0 => Self::Executable,
            0o100_000 => Self::File,
            0o120_000 => Self::Symlink,
            0o040_000 => Self::Directory,
            _ => Self::Gitlink,
        }
    }
}

/// One entry of a [`Listing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The file name: 1 to 255 bytes, neither `/` nor NUL.
    pub name: &'a [u8],
    /// The type.
    pub mode: EntryMode,
    /// The id of the blob, tree or commit.
    pub id: &'a oid,
    /// The length of the blob in bytes; 0 for directories and gitlinks.
    pub size: u64,
}

/// The entries of one tree in git's order, with the sizes of its blobs.
///
/// A listing is immutable. It takes about 55 bytes per entry, since all ids
/// share one buffer, and all names another.
#[derive(Clone)]
pub struct Listing {
    kind: Kind,
    ids: Box<[u8]>,
    names: Box<[u8]>,
    /// The end of each name in `names`.
    ends: Box<[u32]>,
    modes: Box<[EntryMode]>,
    sizes: Box<[u64]>,
    canonical: bool,
    counted: Option<Counted>,
}

impl Listing {
    /// The listing, of which and of whose copies `all` has the bytes while they
    /// live.
    pub(super) fn counted(mut self, all: &Arc<AtomicU64>) -> Self {
        let bytes = size_of::<Self>() + self.heap_bytes();
        self.counted = Some(Counted::new(all, to_u64(bytes)));
        self
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.modes.len()
    }

    /// Whether there are no entries. git writes such a tree for an empty root
    /// only.
    pub fn is_empty(&self) -> bool {
        self.modes.is_empty()
    }

    /// Whether the tree has its entries in git's order, each name once, and no
    /// empty directory. If not, these are the entries that git checks out, in its
    /// order.
    pub fn is_canonical(&self) -> bool {
        self.canonical
    }

    /// The entry at `index`, from 0 on in git's order.
    ///
    /// # Panics
    ///
    /// If `index` is not below [`Listing::len`].
    #[expect(
        clippy::indexing_slicing,
        reason = "all columns have the same length, and the index is the caller's own"
    )]
    pub fn entry(&self, index: usize) -> Entry<'_> {
        let width = self.kind.len_in_bytes();
        let start = if index == 0 {
            0
        } else {
            to_usize(self.ends[index - 1])
        };
        Entry {
            name: &self.names[start..to_usize(self.ends[index])],
            mode: self.modes[index],
            id: oid::from_bytes_unchecked(&self.ids[index * width..(index + 1) * width]),
            size: self.sizes[index],
        }
    }

    /// All entries in git's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        (0..self.len()).map(|index| self.entry(index))
    }

    /// The heap memory it holds, in bytes.
    pub fn heap_bytes(&self) -> usize {
        [
            self.ids.len(),
            self.names.len(),
            size_of_val(&*self.ends),
            size_of_val(&*self.modes),
            size_of_val(&*self.sizes),
        ]
        .iter()
        .sum()
    }

    /// A copy of the listing with the sizes of some entries replaced, for files
    /// whose length changes when they are checked out.
    ///
    /// # Panics
    ///
    /// If an index is not below [`Listing::len`].
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "the indices are the caller's own")]
    pub(crate) fn with_sizes(&self, changed: impl Iterator<Item = (usize, u64)>) -> Self {
        let mut listing = self.clone();
        for (index, size) in changed {
            listing.sizes[index] = size;
        }
        listing
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Builds the [`Listing`] of one tree.
#[derive(Debug)]
pub(super) struct Builder {
    kind: Kind,
    ids: Vec<u8>,
    names: Vec<u8>,
    ends: Vec<u32>,
    modes: Vec<EntryMode>,
    sizes: Vec<u64>,
}

impl Builder {
    pub(super) fn new(kind: Kind) -> Self {
        let (ids, names, ends) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            kind,
            ids,
            names,
            ends,
            modes: Vec::new(),
            sizes: Vec::new(),
        }
    }

    /// Adds an entry; `None` if the names of the tree exceed 4 GiB.
    pub(super) fn push(&mut self, entry: Entry<'_>) -> Option<()> {
        let end = self.names.len().checked_add(entry.name.len())?;
        let end = u32::try_from(end).ok()?;
        self.ids.extend_from_slice(entry.id.as_bytes());
        self.names.extend_from_slice(entry.name);
        self.ends.push(end);
        self.modes.push(entry.mode);
        self.sizes.push(entry.size);
        Some(())
    }

    /// The name and mode of the entry added last.
    pub(super) fn last(&self) -> Option<(&[u8], EntryMode)> {
        Some((self.names_backwards().next()?, *self.modes.last()?))
    }

    /// The names added so far, the last one first.
    #[expect(
        clippy::indexing_slicing,
        reason = "every end is one of a name, at or after the one before"
    )]
    pub(super) fn names_backwards(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).rev().map(|index| {
            let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.names[to_usize(start)..to_usize(self.ends[index])]
        })
    }

    pub(super) fn build(self, canonical: bool) -> Listing {
        Listing {
            kind: self.kind,
            ids: self.ids.into(),
            names: self.names.into(),
            ends: self.ends.into(),
            modes: self.modes.into(),
            sizes: self.sizes.into(),
            canonical,
            counted: None,
        }
    }
}
