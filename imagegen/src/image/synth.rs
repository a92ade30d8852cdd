//! Metadata blocks, generated from the plan.

use crate::{
    Result,
    ext4::{
        BLOCK_SIZE, Block, BlockNr, Body, Checksum, Entry, INODE_SIZE, Identity, Inode, InodeNr,
        Mode, Packing, Region, extent, group, inode, journal, superblock,
    },
    image::{
        contents::Reader,
        dir_layout::blocks_of,
        dirs::{Dir, EntryRef, inode_at},
        folder::{Child, Content, FAST_SYMLINK_LIMIT, SyntheticKind},
        stamp::Stamp,
    },
    numbers::{to_u64, to_usize},
};

/// Generates metadata blocks.
pub(super) struct Synth<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) identity: &'a Identity,
    pub(super) checksum: Checksum,
}

impl Synth<'_> {
    /// Writes a metadata block to `out`, which is all zeroes; returns `false`
    /// if the read mode does not allow that.
    ///
    /// # Errors
    ///
    /// If the target of a symlink cannot be read.
    ///
    /// # Panics
    ///
    /// If the region is not metadata.
    pub(super) fn block(&self, region: Region, out: &mut Block) -> Result<bool> {
        let plan = self.reader.plan;
        match region {
            Region::Superblock => *out = superblock(&plan.layout, self.identity),
            Region::GroupDescriptors { first } => {
                let used = |group| plan.directories_in(group);
                group::descriptors(&plan.layout, self.checksum, first, used, out);
            }
            Region::InodeTable { first } => return self.inode_table(first, out),
            Region::Directory(block) => self.directory(block, out),
            Region::Symlink(symlink) => return self.symlink(plan.symlink_at(symlink), out),
            Region::ExtentLeaf(leaf) => self.extent_leaf(leaf, out),
            Region::BlockBitmap(group) => group::block_bitmap(&plan.layout, group, out),
            Region::InodeBitmap(group) => group::inode_bitmap(&plan.layout, group, out),
            Region::Journal => *out = journal::first_block(&plan.layout, self.identity),
            Region::Data(_) | Region::Zero => panic!("{region:?} is not metadata"),
        }
        Ok(true)
    }

    /// Inodes after the last one in use are zeroes.
    fn inode_table(&self, first: InodeNr, out: &mut Block) -> Result<bool> {
        for (number, out) in (0..).zip(out.chunks_exact_mut(INODE_SIZE)) {
            let nr = first.plus(number);
            if nr > self.reader.plan.layout.last_inode() {
                break;
            }
            let Some(bytes) = self.inode(nr)? else {
                return Ok(false);
            };
            out.copy_from_slice(&bytes);
        }
        Ok(true)
    }

    fn inode(&self, nr: InodeNr) -> Result<Option<[u8; INODE_SIZE]>> {
        let journal = || journal::inode(&self.reader.plan.layout, self.checksum);
        if let Some(bytes) = (nr == journal::INODE).then(journal).flatten() {
            return Ok(Some(bytes));
        }
        if nr < InodeNr::FIRST && nr != InodeNr::ROOT {
            return Ok(Some(inode::reserved(nr, self.checksum)));
        }
        if let Some(dir) = self.reader.plan.dir_of(nr) {
            return Ok(Some(self.directory_inode(dir).encode(nr, self.checksum)));
        }
        let entry = self.reader.plan.entry_of(nr);
        let child = self.reader.plan.child(entry);
        assert!(
            !child.is_directory(),
            "the directory of inode {} is not listed by its inode",
            nr.get()
        );
        let target = match self.fast_target(entry, &child)? {
            FastTarget::NotCached => return Ok(None),
            FastTarget::Bytes(bytes) => Some(bytes),
            FastTarget::None => None,
        };
        let body = match &target {
            Some(bytes) => Body::Inline(bytes),
            None => self.body(entry, &child),
        };
        let time = self.reader.stamp.mtime;
        let modified = match child.content {
            Content::Synthetic(SyntheticKind::Index) => time.of_index(),
            _ => time,
        };
        let inode = Inode {
            modified: modified.into(),
            ..self.base(child.mode(), child.size, body)
        };
        Ok(Some(inode.encode(nr, self.checksum)))
    }

    fn base<'b>(&self, mode: Mode, size: u64, body: Body<'b>) -> Inode<'b> {
        let Stamp { uid, gid, mtime } = *self.reader.stamp;
        Inode {
            mode,
            uid,
            gid,
            size,
            links: 1,
            modified: mtime.into(),
            changed: mtime.changed().into(),
            body,
            indexed: false,
        }
    }

    fn body(&self, entry: EntryRef, child: &Child<'_>) -> Body<'static> {
        if child.is_slow_symlink() {
            let start = self.reader.plan.symlink_of(entry);
            return Body::Blocks {
                start,
                count: 1,
                leaves: BlockNr(0),
            };
        }
        let start = self.reader.plan.data_of(entry);
        let leaves = self.reader.plan.leaves_of(entry);
        Body::Blocks {
            start,
            count: blocks_of(child.size),
            leaves,
        }
    }

    fn directory_inode(&self, number: usize) -> Inode<'static> {
        let dir = &self.reader.plan.dirs[number];
        let start = BlockNr(self.reader.plan.layout.directories().start + dir.first_block);
        let body = Body::Blocks {
            start,
            count: dir.blocks,
            leaves: BlockNr(0),
        };
        let size = dir.blocks * to_u64(BLOCK_SIZE);
        let packing = self.reader.plan.indexed.get(&number);
        Inode {
            links: dir.layout.subdirectories + 2,
            indexed: packing.is_some_and(Packing::is_indexed),
            ..self.base(Mode::DIRECTORY, size, body)
        }
    }

    fn fast_target(&self, entry: EntryRef, child: &Child<'_>) -> Result<FastTarget> {
        if child.mode() != Mode::SYMLINK || child.size >= FAST_SYMLINK_LIMIT {
            return Ok(FastTarget::None);
        }
        let mut target = vec![0; to_usize(child.size)];
        let read = self.reader.file(entry, 0, &mut target)?;
        Ok(if read {
            FastTarget::Bytes(target)
        } else {
            FastTarget::NotCached
        })
    }

    fn symlink(&self, entry: EntryRef, out: &mut Block) -> Result<bool> {
        let length = to_usize(self.reader.plan.child(entry).size);
        self.reader.file(entry, 0, &mut out[..length])
    }

    fn extent_leaf(&self, leaf: u64, out: &mut Block) {
        let (entry, inside) = self.reader.plan.leaf_at(leaf);
        let checksum = self.checksum.inode(self.reader.plan.inode_of(entry));
        let count = blocks_of(self.reader.plan.child(entry).size);
        extent::leaf(
            self.reader.plan.data_of(entry),
            count,
            inside,
            checksum,
            out,
        );
    }

    fn directory(&self, block: u64, out: &mut Block) {
        let (number, inside) = self.reader.plan.directory_at(block);
        let dir = &self.reader.plan.dirs[number];
        assert!(
            dir.folder.len() == dir.layout.len(),
            "directory {number} has the entries that it was planned with"
        );
        match self.reader.plan.indexed.get(&number) {
            Some(packing) => self.entries(packing, dir, inside, out),
            None => self.entries(&Packing::linear(dir.folder.names()), dir, inside, out),
        }
    }

    fn entries(&self, packing: &Packing, dir: &Dir, block: u64, out: &mut Block) {
        let parent = self.reader.plan.dirs[dir.parent].inode;
        let entry = |slot: u32| {
            let slot = to_usize(slot);
            let child = dir.folder.child(slot);
            let inode = inode_at(dir.first_child, slot);
            Entry {
                inode,
                kind: child.file_type(),
                name: child.name,
            }
        };
        packing.write(block, dir.inode, parent, self.checksum, entry, out);
    }
}

/// The target of a symlink that is stored in its inode.
enum FastTarget {
    /// The entry is not such a symlink.
    None,
    /// The target is not cached, and the read mode allows no more.
    NotCached,
    Bytes(Vec<u8>),
}
