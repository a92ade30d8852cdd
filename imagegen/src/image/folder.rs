//! The entries of one directory of an image, from a tree of the commit or
//! synthesized for `.git`.

use std::sync::Arc;

use gix::{ObjectId, bstr::BString, oid};

use crate::{
    ext4::{FileType, Mode},
    git::{Conversion, EntryMode, Listing},
    numbers::exact,
};

/// The entries of a directory, by their source.
#[derive(Debug)]
pub(super) enum Folder {
    /// A tree of the commit.
    Tree {
        listing: Arc<Listing>,
        /// The slots of files that `git checkout` converts, ascending.
        converted: Box<[(u32, Conversion)]>,
        /// The id of the tree.
        id: ObjectId,
        /// Whether `.git` follows the entries of the tree.
        with_dot_git: bool,
    },
    /// A directory of the synthesized `.git`.
    Synthetic(Vec<Synthetic>),
    /// A gitlink: an empty directory.
    Gitlink,
}

/// An entry of a directory of `.git`.
#[derive(Debug)]
pub(super) struct Synthetic {
    pub(super) name: BString,
    pub(super) kind: SyntheticKind,
    pub(super) size: u64,
}

/// What an entry of `.git` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyntheticKind {
    /// A directory, by its number in [`DotGit`](super::dot_git::DotGit).
    Directory(usize),
    /// The git index, encoded when it is read.
    Index,
    /// A small file, by its position in [`Plan::small`](super::plan::Plan::small).
    Small(usize),
    /// A file of the snapshot, by its position in
    /// [`Snapshot::files`](crate::git::Snapshot::files).
    Snapshot(usize),
}

/// An entry of a directory, whatever its source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child<'a> {
    pub(super) name: &'a [u8],
    pub(super) size: u64,
    pub(super) content: Content<'a>,
}

/// What an entry refers to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// A regular file: the blob, and its conversion at checkout.
    Blob {
        id: &'a oid,
        executable: bool,
        conversion: Option<&'a Conversion>,
    },
    /// A symlink whose target is the blob.
    Symlink { id: &'a oid },
    /// A subtree.
    Tree { id: &'a oid },
    /// A commit of another repository.
    Gitlink { id: &'a oid },
    /// The root of `.git`.
    DotGit,
    /// Part of `.git`.
    Synthetic(SyntheticKind),
}

impl Folder {
    /// The number of entries, `.git` included.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Tree {
                listing,
                with_dot_git,
                ..
            } => listing.len() + usize::from(*with_dot_git),
            Self::Synthetic(entries) => entries.len(),
            Self::Gitlink => 0,
        }
    }

    /// The entry at `slot`.
    ///
    /// # Panics
    ///
    /// If `slot` is not below [`Folder::len`].
    pub(super) fn child(&self, slot: usize) -> Child<'_> {
        match self {
            Self::Tree {
                listing, converted, ..
            } if slot < listing.len() => tree_child(listing, converted, slot),
            Self::Tree {
                listing,
                with_dot_git: true,
                ..
            } if slot == listing.len() => DOT_GIT,
            Self::Synthetic(entries) => {
                let Synthetic { name, kind, size } = &entries[slot];
                Child {
                    name: name.as_slice(),
                    size: *size,
                    content: Content::Synthetic(*kind),
                }
            }
            Self::Tree { .. } | Self::Gitlink => {
                panic!("a directory of {} entries has no slot {slot}", self.len())
            }
        }
    }

    /// The heap memory of the listing, in bytes.
    pub(super) fn listing_bytes(&self) -> usize {
        match self {
            Self::Tree { listing, .. } => listing.heap_bytes(),
            Self::Synthetic(_) | Self::Gitlink => 0,
        }
    }

    /// The heap memory besides the listing, in bytes.
    pub(super) fn own_bytes(&self) -> usize {
        match self {
            Self::Tree { converted, .. } => size_of_val(&**converted),
            Self::Synthetic(entries) => {
                let names: usize = entries.iter().map(|entry| entry.name.len()).sum();
                names + size_of_val(&**entries)
            }
            Self::Gitlink => 0,
        }
    }

    /// All entries, by slot.
    pub(super) fn children(&self) -> impl Iterator<Item = Child<'_>> {
        (0..self.len()).map(|slot| self.child(slot))
    }

    /// All names, by slot.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.children().map(|child| child.name)
    }
}

/// A regular file, `r--r--r--`.
const READ_ONLY: Mode = Mode(0o100_444);
const DOT_GIT: Child<'static> = Child {
    name: b".git",
    size: 0,
    content: Content::DotGit,
};

fn tree_child<'a>(
    listing: &'a Listing,
    converted: &'a [(u32, Conversion)],
    slot: usize,
) -> Child<'a> {
    let entry = listing.entry(slot);
    let id = entry.id;
    let conversion = || {
        let slot: u32 = exact(slot);
        let found = converted.binary_search_by_key(&slot, |(slot, _)| *slot);
        // Files that are not listed are not converted.
        found.ok().map(|at| &converted[at].1)
    };
    let content = match entry.mode {
        EntryMode::File => Content::Blob {
            id,
            executable: false,
            conversion: conversion(),
        },
        EntryMode::Executable => Content::Blob {
            id,
            executable: true,
            conversion: conversion(),
        },
        EntryMode::Symlink => Content::Symlink { id },
        EntryMode::Directory => Content::Tree { id },
        EntryMode::Gitlink => Content::Gitlink { id },
    };
    Child {
        name: entry.name,
        size: entry.size,
        content,
    }
}

impl<'a> Child<'a> {
    /// Whether the entry is a directory in the image.
    pub(super) fn is_directory(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// The file type in the directory entry.
    pub(super) fn file_type(&self) -> FileType {
        match self.content {
            Content::Tree { .. }
            | Content::Gitlink { .. }
            | Content::DotGit
            | Content::Synthetic(SyntheticKind::Directory(_)) => FileType::Directory,
            Content::Symlink { .. } => FileType::Symlink,
            Content::Blob { .. } | Content::Synthetic(_) => FileType::Regular,
        }
    }

    /// The mode in the inode. Files in `.git/objects` are read-only, as git
    /// writes them.
    pub(super) fn mode(&self) -> Mode {
        match self.content {
            Content::Blob {
                executable: true, ..
            } => Mode::EXECUTABLE,
            Content::Synthetic(SyntheticKind::Snapshot(_)) => READ_ONLY,
            _ => match self.file_type() {
                FileType::Regular => Mode::FILE,
                FileType::Directory => Mode::DIRECTORY,
                FileType::Symlink => Mode::SYMLINK,
            },
        }
    }

    /// The mode and id in the git index; `None` if the entry is not in it.
    pub(super) fn index_entry(&self) -> Option<(EntryMode, &'a oid)> {
        match self.content {
            Content::Blob {
                id,
                executable: true,
                ..
            } => Some((EntryMode::Executable, id)),
            Content::Blob {
                id,
                executable: false,
                ..
            } => Some((EntryMode::File, id)),
            Content::Symlink { id } => Some((EntryMode::Symlink, id)),
            Content::Gitlink { id } => Some((EntryMode::Gitlink, id)),
            Content::Tree { .. } | Content::DotGit | Content::Synthetic(_) => None,
        }
    }

    /// Whether the entry is a symlink whose target has a block.
    pub(super) fn is_slow_symlink(&self) -> bool {
        matches!(self.content, Content::Symlink { .. }) && self.size >= FAST_SYMLINK_LIMIT
    }
}

/// A symlink target of fewer bytes is stored in the inode (kernel,
/// `ext4_inode_is_fast_symlink`).
pub(super) const FAST_SYMLINK_LIMIT: u64 = 60;
