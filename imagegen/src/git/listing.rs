//! One directory of a tree: names, modes, ids and sizes, closely packed.

use std::fmt;

use gix::{hash::Kind, oid};

/// What a tree entry is, after git's own normalisation of modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryMode {
    /// `100644`, and everything git reads as such.
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
    /// Whether the entry's id names a blob of this repository.
    pub const fn is_blob(self) -> bool {
        matches!(self, Self::File | Self::Executable | Self::Symlink)
    }

    /// The mode a tree or an index records.
    pub const fn bits(self) -> u32 {
        match self {
            Self::File => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Symlink => 0o120_000,
            Self::Directory => 0o040_000,
            Self::Gitlink => 0o160_000,
        }
    }

    /// What git makes of the mode `bits` found in a tree (`canon_mode`).
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
    /// The file name: 1 to 255 bytes, neither `/` nor NUL among them.
    pub name: &'a [u8],
    /// What it is.
    pub mode: EntryMode,
    /// The blob, tree or commit behind it.
    pub id: &'a oid,
    /// The length of the blob in bytes; 0 for directories and gitlinks.
    pub size: u64,
}

/// The entries of one tree in git's order, with the sizes of its blobs.
///
/// Immutable, and about 55 bytes an entry: ids lie flat in one buffer, names
/// in another.
#[derive(Clone)]
pub struct Listing {
    kind: Kind,
    ids: Box<[u8]>,
    names: Box<[u8]>,
    /// Where each name ends in `names`.
    ends: Box<[u32]>,
    modes: Box<[EntryMode]>,
    sizes: Box<[u64]>,
}

impl Listing {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.modes.len()
    }

    /// Whether there are none; git writes such a tree for an empty root only.
    pub fn is_empty(&self) -> bool {
        self.modes.is_empty()
    }

    /// The entry at `index`, counted in git's order.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`Listing::len`], as a slice does.
    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "the builder \
        keeps all columns equally long; the index is the caller's own"
    )]
    pub fn entry(&self, index: usize) -> Entry<'_> {
        let width = self.kind.len_in_bytes();
        let start = if index == 0 {
            0
        } else {
            wide(self.ends[index - 1])
        };
        Entry {
            name: &self.names[start..wide(self.ends[index])],
            mode: self.modes[index],
            id: oid::from_bytes_unchecked(&self.ids[index * width..(index + 1) * width]),
            size: self.sizes[index],
        }
    }

    /// All entries in git's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<'_>> {
        (0..self.len()).map(|index| self.entry(index))
    }

    /// The memory it holds, in bytes.
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

    /// The same listing, the sizes of the entries at the given indices
    /// replaced: a filter changes how long a file is in the work tree.
    ///
    /// An index that is not below [`Listing::len`] is ignored.
    #[must_use]
    pub fn with_sizes(&self, changed: impl Iterator<Item = (usize, u64)>) -> Self {
        let mut listing = self.clone();
        for (index, size) in changed {
            if let Some(slot) = listing.sizes.get_mut(index) {
                *slot = size;
            }
        }
        listing
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Collects the entries of one tree into a [`Listing`].
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

    /// Adds one entry; `None` when the names of the tree exceed 4 GiB.
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

    /// The names from the last one on towards the first.
    pub(super) fn names_backwards(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).rev().map_while(|index| {
            let start = index
                .checked_sub(1)
                .and_then(|before| self.ends.get(before));
            let start = start.map_or(0, |start| wide(*start));
            self.names.get(start..wide(*self.ends.get(index)?))
        })
    }

    pub(super) fn build(self) -> Listing {
        Listing {
            kind: self.kind,
            ids: self.ids.into(),
            names: self.names.into(),
            ends: self.ends.into(),
            modes: self.modes.into(),
            sizes: self.sizes.into(),
        }
    }
}

/// The same number, in the width that indexes memory.
fn wide(end: u32) -> usize {
    usize::try_from(end).unwrap_or(usize::MAX)
}
