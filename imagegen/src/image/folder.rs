//! One directory of an image: what it holds, from a tree of the commit or
//! made for `.git`.

use std::sync::Arc;

use gix::{ObjectId, bstr::BString, oid};

use crate::{
    ext4::{FileType, Mode},
    git::{Conversion, EntryMode, Listing},
};

/// Where a directory's entries come from.
#[derive(Debug)]
pub(super) enum Folder {
    /// A tree of the commit.
    Tree {
        listing: Arc<Listing>,
        /// Slots of files whose bytes `git checkout` changes, ascending.
        converted: Box<[(u32, Conversion)]>,
        /// The tree's own id.
        id: ObjectId,
        /// Whether `.git` stands behind the tree's own entries.
        with_dot_git: bool,
    },
    /// A directory of the synthesized `.git`.
    Made(Vec<Made>),
    /// A gitlink: a directory that nobody filled.
    Gitlink,
}

/// An entry of a made directory.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) name: BString,
    pub(super) kind: MadeKind,
    pub(super) size: u64,
}

/// What a made entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MadeKind {
    /// Another made directory, by its number.
    Directory(usize),
    /// The git index, written when somebody reads it.
    Index,
    /// A small file, by its number.
    Small(usize),
    /// A file of the snapshot, by its number.
    Snapshot(usize),
}

/// An entry of any directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child<'a> {
    pub(super) name: &'a [u8],
    pub(super) size: u64,
    pub(super) content: Content<'a>,
}

/// What stands behind an entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// A regular file: the blob, and what checkout makes of it.
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
    Made(MadeKind),
}

impl Folder {
    /// Entries, `.git` among them.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Tree {
                listing,
                with_dot_git,
                ..
            } => listing.len() + usize::from(*with_dot_git),
            Self::Made(entries) => entries.len(),
            Self::Gitlink => 0,
        }
    }

    /// The entry at `slot`, which is below [`Folder::len`].
    pub(super) fn child(&self, slot: usize) -> Child<'_> {
        match self {
            Self::Tree {
                listing, converted, ..
            } if slot < listing.len() => tree_child(listing, converted, slot),
            Self::Made(entries) => {
                let Made { name, kind, size } = &entries[slot];
                Child {
                    name: name.as_slice(),
                    size: *size,
                    content: Content::Made(*kind),
                }
            }
            Self::Tree { .. } | Self::Gitlink => DOT_GIT,
        }
    }

    /// Bytes of memory behind the listing.
    pub(super) fn listing_bytes(&self) -> usize {
        match self {
            Self::Tree { listing, .. } => listing.heap_bytes(),
            Self::Made(_) | Self::Gitlink => 0,
        }
    }

    /// All entries in order.
    pub(super) fn children(&self) -> impl Iterator<Item = Child<'_>> {
        (0..self.len()).map(|slot| self.child(slot))
    }

    /// All names in order.
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
        let slot = u32::try_from(slot).ok()?;
        let at = converted
            .binary_search_by_key(&slot, |(slot, _)| *slot)
            .ok()?;
        Some(&converted[at].1)
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
    /// Whether the entry is a directory of the image.
    pub(super) fn is_directory(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// The type that stands in the directory entry.
    pub(super) fn file_type(&self) -> FileType {
        match self.content {
            Content::Tree { .. }
            | Content::Gitlink { .. }
            | Content::DotGit
            | Content::Made(MadeKind::Directory(_)) => FileType::Directory,
            Content::Symlink { .. } => FileType::Symlink,
            Content::Blob { .. } | Content::Made(_) => FileType::Regular,
        }
    }

    /// The mode that stands in the inode. What git keeps read-only in
    /// `.git/objects` is read-only here.
    pub(super) fn mode(&self) -> Mode {
        match self.content {
            Content::Blob {
                executable: true, ..
            } => Mode::EXECUTABLE,
            Content::Made(MadeKind::Snapshot(_)) => READ_ONLY,
            _ => match self.file_type() {
                FileType::Regular => Mode::FILE,
                FileType::Directory => Mode::DIRECTORY,
                FileType::Symlink => Mode::SYMLINK,
            },
        }
    }

    /// The mode and id that stand in the git index, if the entry does.
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
            Content::Tree { .. } | Content::DotGit | Content::Made(_) => None,
        }
    }

    /// Whether the entry is a symlink too long for its inode.
    pub(super) fn is_slow_symlink(&self) -> bool {
        matches!(self.content, Content::Symlink { .. }) && self.size >= FAST_SYMLINK_LIMIT
    }
}

/// A symlink target of fewer bytes stands in the inode (kernel,
/// `ext4_inode_is_fast_symlink`).
pub(super) const FAST_SYMLINK_LIMIT: u64 = 60;
