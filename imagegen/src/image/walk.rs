//! The walk over a commit's trees that numbers directories, inodes and blocks.

use std::{collections::HashMap, mem};

use gix::{
    ObjectId,
    bstr::{BStr, ByteSlice},
};

use crate::{
    Error, Kind, Result,
    ext4::{InodeNr, Packing},
    git::{Attributes, Conversion, Entry, EntryMode, Listing, Objects},
    image::{
        allowance::Meter,
        dir_layout::DirLayout,
        dirs::{Dir, inode_at},
        folder::{Content, Folder, Synthetic, SyntheticKind},
        ignores,
        notices::Notices,
        path::{self, Path},
        tree_counts::TreeCounts,
    },
    numbers::to_u64,
};

/// The least number of blocks of a directory with an index. The kernel reads
/// smaller ones faster without: with an index it reads in hash order, without
/// read-ahead.
const INDEXED_FROM_BLOCKS: u64 = 64;
/// What the plan of a directory takes for each of its entries, in bytes: seldom
/// more, and then the next directory finds it out.
const ENTRY_BYTES: usize = 16;
/// What the tables of a plan take for each directory, in bytes, while it is made and
/// after: the queue of the walk, the directories by their inodes and by their data.
const TABLES_BYTES: usize =
    size_of::<Pending>() + size_of::<(InodeNr, usize)>() + size_of::<(u64, usize)>();
const MAX_INODES: u32 = 32_000_000;
const MAX_DIRECTORIES: usize = 4_000_000;
/// From so many inodes on, the tree is [counted](TreeCounts) before the walk
/// continues, in case it exceeds the limits.
const COUNT_FROM_INODES: u32 = 1 << 20;
/// The same for directories.
const COUNT_FROM_DIRECTORIES: usize = 1 << 16;

/// All directories of an image, numbered, but without data blocks yet.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    /// The memory of all that follows.
    pub(super) meter: Meter<'a>,
    pub(super) dirs: Vec<Dir>,
    pub(super) indexed: HashMap<usize, Packing>,
    next_inode: InodeNr,
    next_block: u64,
    next_symlink: u64,
    next_leaf: u64,
    /// The numbers of directories with a `.gitignore` that git converts when it
    /// is added, if that was asked for.
    pub(super) converted_ignores: Vec<usize>,
    pub(super) notices: Notices,
}

/// A directory that is still to be visited.
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

/// The trees of a commit, and the attributes of their files.
pub(super) struct Trees<'a> {
    pub(super) objects: &'a Objects,
    pub(super) attributes: Attributes,
    /// The number of directories entered: the current one and its parents.
    pub(super) entered: usize,
    pub(super) with_dot_git: bool,
    /// Whether to look for each `.gitignore`.
    pub(super) with_ignores: bool,
    pub(super) notices: Notices,
}

impl<'a> Walk<'a> {
    /// Visits the tree `root` and everything below it.
    ///
    /// # Errors
    ///
    /// As [`Image::open`](super::Image::open), with the path below `root`.
    pub(super) fn trees(trees: &mut Trees<'_>, root: ObjectId, meter: Meter<'a>) -> Result<Self> {
        let mut walk = Self {
            meter,
            dirs: Vec::new(),
            indexed: HashMap::new(),
            next_inode: InodeNr::FIRST,
            next_block: 0,
            next_symlink: 0,
            next_leaf: 0,
            converted_ignores: Vec::new(),
            notices: Notices::default(),
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
                check_counts(TreeCounts::of(trees.objects, root))?;
                counted = true;
            }
            path.enter(next.depth, walk.name(&next))?;
            let folder = trees.folder(&next, path.as_bstr())?;
            if trees.converts_ignore(&folder, path.as_bstr()) {
                walk.meter.grow(size_of::<usize>())?;
                walk.converted_ignores.push(walk.dirs.len());
            }
            let number = walk.add(folder, next.parent, next.slot, path.as_bstr())?;
            walk.queue_children(number, next.depth + 1, &mut pending);
        }
        walk.notices = mem::take(&mut trees.notices);
        Ok(walk)
    }

    /// Whether the tree is so large that it may exceed the limits.
    fn is_large(&self, pending: usize) -> bool {
        self.next_inode.get() > COUNT_FROM_INODES
            || self.dirs.len() + pending > COUNT_FROM_DIRECTORIES
    }

    /// The name of a directory in its parent; empty for the root.
    fn name(&self, next: &Pending) -> &[u8] {
        match next.depth {
            0 => b"",
            _ => self.dirs[next.parent].folder.child(next.slot).name,
        }
    }

    /// Queues the subdirectories of `parent`, so that the first one is visited
    /// next.
    fn queue_children(&self, parent: usize, depth: usize, pending: &mut Vec<Pending>) {
        if self.dirs[parent].layout.subdirectories == 0 {
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

    /// Appends the directories of `.git`: `folders[0]` is `.git` itself.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] if the image exceeds a limit.
    pub(super) fn dot_git(&mut self, mut folders: Vec<Option<Vec<Synthetic>>>) -> Result<()> {
        let slot = self.dirs[0].folder.len() - 1;
        let mut pending = vec![(0, 0, slot)];
        while let Some((folder, parent, slot)) = pending.pop() {
            let entries = folders[folder]
                .take()
                .expect("a directory has one entry that refers to it");
            let number = self.add(Folder::Synthetic(entries), parent, slot, b".git".as_bstr())?;
            let queued = pending.len();
            for (slot, child) in self.dirs[number].folder.children().enumerate() {
                if let Content::Synthetic(SyntheticKind::Directory(folder)) = child.content {
                    pending.push((folder, number, slot));
                }
            }
            pending[queued..].reverse();
        }
        Ok(())
    }

    /// Adds a directory: numbers its entries and counts its blocks. Returns the
    /// number of the directory.
    fn add(&mut self, folder: Folder, parent: usize, slot: usize, path: &BStr) -> Result<usize> {
        let number = self.dirs.len();
        // Before it is made.
        let expected = folder.len() * ENTRY_BYTES;
        self.meter.grow(expected)?;
        let layout = DirLayout::of(&folder).map_err(|error| error.within(path))?;
        let children = u32::try_from(folder.len()).map_err(|_| too_many())?;
        let mut blocks = Packing::linear_blocks(folder.names());
        if blocks >= INDEXED_FROM_BLOCKS {
            let packing = Packing::indexed(folder.names());
            blocks = packing.blocks();
            self.meter.grow(packing.heap_bytes())?;
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
            layout,
        };
        let next_inode = self.next_inode.get().checked_add(children);
        self.next_inode = next_inode
            .filter(|next| *next <= MAX_INODES && number <= MAX_DIRECTORIES)
            .and_then(InodeNr::new)
            .ok_or_else(too_many)?;
        self.meter
            .grow(TABLES_BYTES + dir.bytes().saturating_sub(expected))?;
        self.next_block += blocks;
        self.next_symlink += dir.layout.slow_symlinks();
        self.next_leaf += dir.layout.leaf_total();
        self.dirs.push(dir);
        Ok(number)
    }

    /// Numbers the extent leaves anew, after files have got other lengths.
    pub(super) fn renumber_leaves(&mut self) {
        self.next_leaf = 0;
        for dir in &mut self.dirs {
            dir.first_leaf = self.next_leaf;
            self.next_leaf += dir.layout.leaf_total();
        }
    }

    /// The highest inode in use.
    pub(super) fn last_inode(&self) -> InodeNr {
        InodeNr::new(self.next_inode.get() - 1).expect("numbers start after the reserved inodes")
    }

    /// The number of blocks of all directories.
    pub(super) fn directory_blocks(&self) -> u64 {
        self.next_block
    }

    /// The number of symlinks that have a block.
    pub(super) fn symlink_blocks(&self) -> u64 {
        self.next_symlink
    }

    /// The number of extent leaves of all files.
    pub(super) fn extent_leaves(&self) -> u64 {
        self.next_leaf
    }
}

fn check_counts(counts: TreeCounts) -> Result<()> {
    let fits = counts.entries <= MAX_INODES.into() && counts.directories <= to_u64(MAX_DIRECTORIES);
    if fits { Ok(()) } else { Err(too_many()) }
}

fn too_many() -> Error {
    let message = format!("more than {MAX_INODES} files or {MAX_DIRECTORIES} directories");
    Error::new(Kind::Unsupported, message)
}

impl Trees<'_> {
    /// Reads the entries of a directory at path `dir`.
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
        if !listing.is_canonical() {
            self.notices.add(|| not_canonical(dir, &id));
        }
        self.enter(next.depth, dir, &listing).map_err(of_path)?;
        let converted = self.conversions(&listing, dir);
        let with_dot_git = self.with_dot_git && next.depth == 0;
        Ok(Folder::Tree {
            listing,
            converted,
            id,
            with_dot_git,
        })
    }

    /// Enters a directory: puts its `.gitattributes` in force after those of
    /// its parents, and drops all others.
    fn enter(&mut self, depth: usize, dir: &BStr, listing: &Listing) -> Result<()> {
        for _ in depth..self.entered {
            self.attributes.leave();
        }
        self.entered = depth + 1;
        // Entries are sorted, so it is among the first ones.
        let mut first = listing.iter().take_while(|entry| entry.name[0] <= b'.');
        let own = first.find(|entry| {
            entry.name == b".gitattributes"
                && entry.mode.is_blob()
                && entry.size < Attributes::MAX_FILE
        });
        let in_force = self.attributes.bytes() + own.map_or(0, |entry| entry.size);
        let limit = self.objects.attribute_limit();
        if in_force > limit {
            return Err(too_many_attributes(in_force, limit));
        }
        let blob = own
            .map(|entry| self.objects.blob(entry.id, entry.size))
            .transpose()?;
        let bytes = blob.map(|blob| blob.to_vec()).transpose()?;
        self.attributes.enter(dir, bytes.as_deref());
        Ok(())
    }

    /// Whether a directory that was just entered has a `.gitignore` that git
    /// converts when it is added.
    fn converts_ignore(&self, folder: &Folder, dir: &BStr) -> bool {
        self.with_ignores
            && ignores::slot(folder).is_some()
            && self
                .attributes
                .converts_to_git(path::join(dir, ignores::NAME).as_bstr())
    }

    /// The files that checkout may convert.
    fn conversions(&self, listing: &Listing, dir: &BStr) -> Converted {
        if self.attributes.is_inert() {
            return Box::default();
        }
        let conversion = |(slot, entry): (u32, Entry<'_>)| {
            let path = is_file(entry.mode).then(|| path::join(dir, entry.name))?;
            let conversion = self.attributes.conversion(path.as_bstr())?;
            Some((slot, conversion))
        };
        (0u32..)
            .zip(listing.iter())
            .filter_map(conversion)
            .collect()
    }
}

fn too_many_attributes(in_force: u64, limit: u64) -> Error {
    let text = format!(
        ".gitattributes: {in_force} bytes of attributes are in force here, and the limit is \
         {limit}: raise --attributes of the server"
    );
    Error::new(Kind::Unsupported, text)
}

fn not_canonical(dir: &BStr, id: &ObjectId) -> String {
    let place = if dir.is_empty() {
        "the root".into()
    } else {
        dir.to_string()
    };
    format!(
        "{place}: tree {id} has entries out of order, names twice or empty directories; it is shown \
         as git checks it out"
    )
}

/// The slots of files that checkout converts, ascending.
type Converted = Box<[(u32, Conversion)]>;

const fn is_file(mode: EntryMode) -> bool {
    matches!(mode, EntryMode::File | EntryMode::Executable)
}
