//! The one walk over a commit's trees that makes a plan.

use std::{collections::HashMap, sync::Arc};

use gix::{
    ObjectId,
    bstr::{BStr, ByteSlice},
};

use crate::{
    Error, Kind, Result,
    ext4::{InodeNr, Packing},
    git::{Attributes, Conversion, EntryMode, Listing, Objects},
    image::{
        census::Census,
        folder::{Content, Folder, Made, MadeKind},
        numbers::{narrow, wide},
        path::{self, Path},
        plan::{Dir, inode_at},
        shape::Shape,
    },
};

/// A directory with this many blocks gets an index. Below, reading it in
/// order is faster for the kernel than asking its index (ext4.md §2.5).
const INDEXED_FROM_BLOCKS: u64 = 64;
const MAX_INODES: u32 = 32_000_000;
const MAX_DIRECTORIES: usize = 4_000_000;
/// Who has walked so far counts the rest before going on.
const CENSUS_FROM_INODES: u32 = 1 << 20;
const CENSUS_FROM_DIRECTORIES: usize = 1 << 16;

/// All directories of an image, numbered, but their data not yet placed.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) dirs: Vec<Dir>,
    pub(super) indexed: HashMap<usize, Packing>,
    next_inode: u32,
    next_block: u64,
    next_symlink: u64,
    next_leaf: u64,
}

/// What is still to be visited.
struct Pending {
    what: What,
    depth: usize,
    parent: usize,
    slot: usize,
}

enum What {
    Tree(ObjectId),
    Gitlink,
}

/// The trees of a commit, and what checkout makes of their files.
pub(super) struct Trees<'a> {
    pub(super) objects: &'a Objects,
    pub(super) attributes: Attributes,
    /// Directories entered: those on the way to the present one.
    pub(super) entered: usize,
    pub(super) with_dot_git: bool,
}

impl Walk {
    /// Visits the tree `root` and all below it.
    pub(super) fn trees(trees: &mut Trees<'_>, root: ObjectId) -> Result<Self> {
        let mut walk = Self {
            next_inode: InodeNr::FIRST.get(),
            ..Self::default()
        };
        let mut path = Path::default();
        let mut pending = vec![Pending {
            what: What::Tree(root),
            depth: 0,
            parent: 0,
            slot: 0,
        }];
        let mut counted = false;
        while let Some(next) = pending.pop() {
            if !counted && walk.is_large(pending.len()) {
                check_census(Census::take(trees.objects, root))?;
                counted = true;
            }
            path.enter(next.depth, walk.name(&next))?;
            let folder = trees.folder(&next, path.as_bstr())?;
            let number = walk.add(folder, next.parent, next.slot, path.as_bstr())?;
            walk.queue_children(number, next.depth + 1, &mut pending);
        }
        Ok(walk)
    }

    /// Whether the tree may be one that stands for too much.
    fn is_large(&self, pending: usize) -> bool {
        self.next_inode > CENSUS_FROM_INODES || self.dirs.len() + pending > CENSUS_FROM_DIRECTORIES
    }

    /// The name in its parent; the root has none.
    fn name(&self, next: &Pending) -> &[u8] {
        match next.depth {
            0 => b"",
            _ => self.dirs[next.parent].folder.child(next.slot).name,
        }
    }

    /// Queues the directories in `parent`, the first on top.
    fn queue_children(&self, parent: usize, depth: usize, pending: &mut Vec<Pending>) {
        if self.dirs[parent].shape.subdirectories == 0 {
            return;
        }
        let queued = pending.len();
        for (slot, child) in self.dirs[parent].folder.children().enumerate() {
            let what = match child.content {
                Content::Tree { id } => What::Tree(id.to_owned()),
                Content::Gitlink { .. } => What::Gitlink,
                _ => continue,
            };
            pending.push(Pending {
                what,
                depth,
                parent,
                slot,
            });
        }
        pending[queued..].reverse();
    }

    /// Appends the made directories of `.git`: `folders[0]` is `.git` itself.
    pub(super) fn dot_git(&mut self, mut folders: Vec<Option<Vec<Made>>>) -> Result<()> {
        let slot = self.dirs[0].folder.len() - 1;
        let mut pending = vec![(0, 0, slot)];
        while let Some((made, parent, slot)) = pending.pop() {
            let entries = folders[made].take().unwrap_or_default();
            let number = self.add(Folder::Made(entries), parent, slot, b".git".as_bstr())?;
            let queued = pending.len();
            for (slot, child) in self.dirs[number].folder.children().enumerate() {
                if let Content::Made(MadeKind::Directory(made)) = child.content {
                    pending.push((made, number, slot));
                }
            }
            pending[queued..].reverse();
        }
        Ok(())
    }

    /// Numbers the children of a directory and counts its blocks.
    fn add(&mut self, folder: Folder, parent: usize, slot: usize, path: &BStr) -> Result<usize> {
        let number = self.dirs.len();
        let shape = Shape::of(&folder).map_err(|error| error.within(path))?;
        let children = u32::try_from(folder.len()).map_err(|_| too_many())?;
        let mut blocks = Packing::linear_blocks(folder.names());
        if blocks >= INDEXED_FROM_BLOCKS {
            let packing = Packing::indexed(folder.names());
            blocks = packing.blocks();
            self.indexed.insert(number, packing);
        }
        let inode = match number {
            0 => InodeNr::ROOT,
            _ => inode_at(self.dirs[parent].first_child, slot),
        };
        let dir = Dir {
            inode,
            parent,
            slot,
            first_child: self.next_inode,
            first_block: self.next_block,
            blocks,
            first_symlink: self.next_symlink,
            first_leaf: self.next_leaf,
            first_data: 0,
            folder,
            shape,
        };
        self.next_inode = self.next_inode.checked_add(children).ok_or_else(too_many)?;
        if self.next_inode > MAX_INODES || number > MAX_DIRECTORIES {
            return Err(too_many());
        }
        self.next_block += blocks;
        self.next_symlink += dir.shape.slow_symlinks();
        self.next_leaf += dir.shape.leaf_total();
        self.dirs.push(dir);
        Ok(number)
    }

    /// The highest inode in use.
    pub(super) fn last_inode(&self) -> InodeNr {
        InodeNr::new(self.next_inode - 1).unwrap_or(InodeNr::FIRST)
    }

    /// Blocks of all directories.
    pub(super) fn directory_blocks(&self) -> u64 {
        self.next_block
    }

    /// Symlinks that have a block.
    pub(super) fn symlink_blocks(&self) -> u64 {
        self.next_symlink
    }

    /// Extent leaves of all files.
    pub(super) fn extent_leaves(&self) -> u64 {
        self.next_leaf
    }
}

fn check_census(census: Census) -> Result<()> {
    let fits = census.entries <= MAX_INODES.into() && census.directories <= wide(MAX_DIRECTORIES);
    if fits { Ok(()) } else { Err(too_many()) }
}

fn too_many() -> Error {
    let sentence = format!("more than {MAX_INODES} files or {MAX_DIRECTORIES} directories");
    Error::new(Kind::Unsupported, sentence)
}

impl Trees<'_> {
    fn folder(&mut self, next: &Pending, dir: &BStr) -> Result<Folder> {
        let What::Tree(id) = next.what else {
            return Ok(Folder::Gitlink);
        };
        let of_path = |error: Error| {
            if dir.is_empty() {
                error
            } else {
                error.within(dir)
            }
        };
        let listing = self.objects.tree(id).map_err(of_path)?;
        path::check_names(dir, &listing)?;
        self.enter(next.depth, dir, &listing).map_err(of_path)?;
        let (listing, converted) = self.convert(listing, dir).map_err(of_path)?;
        let with_dot_git = self.with_dot_git && next.depth == 0;
        Ok(Folder::Tree {
            listing,
            converted,
            id,
            with_dot_git,
        })
    }

    /// Puts the directory's `.gitattributes` on the stack, and takes those of
    /// directories it is not in from it.
    fn enter(&mut self, depth: usize, dir: &BStr, listing: &Listing) -> Result<()> {
        for _ in depth..self.entered {
            self.attributes.leave();
        }
        self.entered = depth + 1;
        // Entries are sorted: it is among the first.
        let mut first = listing.iter().take_while(|entry| entry.name[0] <= b'.');
        let own = first.find(|entry| {
            entry.name == b".gitattributes"
                && entry.mode.is_blob()
                && entry.size < Attributes::MAX_FILE
        });
        let blob = own
            .map(|entry| self.objects.blob(entry.id, entry.size))
            .transpose()?;
        let bytes = blob.map(|blob| blob.to_vec()).transpose()?;
        self.attributes.enter(dir, bytes.as_deref());
        Ok(())
    }

    /// Finds the files that checkout changes, and their sizes after that.
    fn convert(&mut self, listing: Arc<Listing>, dir: &BStr) -> Result<(Arc<Listing>, Converted)> {
        if self.attributes.is_inert() {
            return Ok((listing, Box::default()));
        }
        let mut converted = Vec::new();
        let mut sizes = Vec::new();
        for (slot, entry) in (0u32..).zip(listing.iter()) {
            if !is_file(entry.mode) {
                continue;
            }
            let path = path::join(dir, entry.name);
            let Some(conversion) = self.attributes.conversion(path.as_bstr()) else {
                continue;
            };
            let of_name = |error: Error| error.within(entry.name.as_bstr());
            let blob = self
                .objects
                .blob(entry.id, entry.size)
                .map_err(of_name)?
                .to_vec()?;
            if let Some(bytes) = conversion.apply(entry.id, &blob).map_err(of_name)? {
                sizes.push((narrow(slot), wide(bytes.len())));
                converted.push((slot, conversion));
            }
        }
        if converted.is_empty() {
            return Ok((listing, Box::default()));
        }
        Ok((
            Arc::new(listing.with_sizes(sizes.into_iter())),
            converted.into(),
        ))
    }
}

/// Slots of files that checkout changes, ascending.
type Converted = Box<[(u32, Conversion)]>;

const fn is_file(mode: EntryMode) -> bool {
    matches!(mode, EntryMode::File | EntryMode::Executable)
}
