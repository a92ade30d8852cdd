//! A tree laid out on a disk: the simplest user of the format.

use super::tree::{Content, Node};
use crate::ext4::{
    BLOCK_SIZE, Block, BlockNr, Body, Checksum, Demand, Entry, Identity, Inode, InodeNr, Layout,
    Packing, Region, Time, extent, group, inode, journal, superblock,
};
use std::{fs::File, os::unix::fs::FileExt};
use tempfile::NamedTempFile;

/// The properties of a disk that do not follow from its tree.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    /// With the `dir_index` feature, the least number of blocks of a directory
    /// with an index.
    pub(super) index_from: Option<u64>,
    pub(super) free_blocks: u64,
    pub(super) free_inodes: u32,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) layout: Layout,
    identity: Identity,
    checksum: Checksum,
    /// The root, then inode 11 and those after it.
    inodes: Vec<Planned>,
    directories: Area,
    symlinks: Area,
    leaves: Area,
    data: Area,
}

#[derive(Debug)]
struct Planned {
    node: Node,
    parent: usize,
    children: usize,
    subdirectories: u32,
    packing: Option<Packing>,
    start: u64,
    leaves: u64,
}

/// The owners of the blocks of an area, each with its first block.
#[derive(Debug, Default)]
struct Area {
    owners: Vec<(u64, usize)>,
    end: u64,
}

impl Area {
    fn take(&mut self, blocks: u64, owner: usize) -> u64 {
        let start = self.end;
        if blocks > 0 {
            self.owners.push((start, owner));
        }
        self.end += blocks;
        start
    }

    fn find(&self, block: u64) -> (u64, usize) {
        let behind = self.owners.partition_point(|(start, _)| *start <= block);
        self.owners[behind - 1]
    }
}

fn number(place: usize) -> InodeNr {
    let places = u32::try_from(place).unwrap();
    if place == 0 {
        InodeNr::ROOT
    } else {
        InodeNr::FIRST.plus(places - 1)
    }
}

impl Disk {
    pub(super) fn new(root: Node, options: Options) -> Self {
        let mut disk = Self::unplaced(flatten(root));
        for place in 0..disk.inodes.len() {
            disk.place(place, options);
        }
        let demand = Demand {
            last_inode: number(disk.inodes.len() - 1),
            directory_blocks: disk.directories.end,
            symlink_blocks: disk.symlinks.end,
            extent_leaves: disk.leaves.end,
            data_blocks: disk.data.end,
            free_blocks: options.free_blocks,
            free_inodes: options.free_inodes,
            journal_blocks: if options.free_blocks > 0 { 1024 } else { 0 },
            dir_index: options.index_from.is_some(),
        };
        disk.layout = Layout::new(&demand).unwrap();
        disk
    }

    fn unplaced(inodes: Vec<Planned>) -> Self {
        let uuid = [0x5A; 16];
        let demand = Demand {
            last_inode: InodeNr::FIRST,
            directory_blocks: 0,
            symlink_blocks: 0,
            extent_leaves: 0,
            data_blocks: 0,
            free_blocks: 0,
            free_inodes: 0,
            journal_blocks: 0,
            dir_index: false,
        };
        Self {
            layout: Layout::new(&demand).unwrap(),
            identity: Identity {
                uuid,
                label: *b"imagegen\0\0\0\0\0\0\0\0",
            },
            checksum: Checksum::new(&uuid),
            inodes,
            directories: Area::default(),
            symlinks: Area::default(),
            leaves: Area::default(),
            data: Area::default(),
        }
    }

    fn place(&mut self, place: usize, options: Options) {
        let names = self.names(place);
        let packing = || {
            let names = || names.iter().map(Vec::as_slice);
            let blocks = Packing::linear_blocks(names());
            let indexed = options.index_from.is_some_and(|least| blocks >= least);
            if indexed {
                Packing::indexed(names())
            } else {
                Packing::linear(names())
            }
        };
        let inode = &mut self.inodes[place];
        match &inode.node.content {
            Content::Directory(_) => {
                let packing = packing();
                inode.start = self.directories.take(packing.blocks(), place);
                inode.packing = Some(packing);
            }
            Content::Symlink(target) if target.len() < 60 => {}
            Content::Symlink(_) => inode.start = self.symlinks.take(1, place),
            Content::File(size) => {
                let blocks = size.div_ceil(4096);
                inode.start = self.data.take(blocks, place);
                inode.leaves = self.leaves.take(extent::leaf_count(blocks), place);
            }
        }
    }

    fn names(&self, place: usize) -> Vec<Vec<u8>> {
        let Content::Directory(entries) = &self.inodes[place].node.content else {
            return vec![];
        };
        entries.iter().map(|entry| entry.name.clone()).collect()
    }

    pub(super) fn block(&self, block: BlockNr) -> Block {
        let mut out = [0; BLOCK_SIZE];
        match self.layout.region(block) {
            Region::Superblock => out = superblock(&self.layout, &self.identity),
            Region::GroupDescriptors { first } => {
                let used = |group| self.used_dirs(group);
                group::descriptors(&self.layout, self.checksum, first, used, &mut out);
            }
            Region::InodeTable { first } => {
                for (place, slot) in (0..).zip(out.chunks_mut(256)) {
                    slot.copy_from_slice(&self.inode(first.plus(place)));
                }
            }
            Region::Directory(n) => self.directory_block(n, &mut out),
            Region::Symlink(n) => {
                let (_, place) = self.symlinks.find(n);
                if let Content::Symlink(target) = &self.inodes[place].node.content {
                    out[..target.len()].copy_from_slice(target);
                }
            }
            Region::ExtentLeaf(n) => {
                let (first, place) = self.leaves.find(n);
                let Content::File(size) = self.inodes[place].node.content else {
                    return out;
                };
                let start = BlockNr(self.layout.data().start + self.inodes[place].start);
                let sums = self.checksum.inode(number(place));
                extent::leaf(start, size.div_ceil(4096), n - first, sums, &mut out);
            }
            Region::BlockBitmap(group) => group::block_bitmap(&self.layout, group, &mut out),
            Region::InodeBitmap(group) => group::inode_bitmap(&self.layout, group, &mut out),
            Region::Journal => out = journal::first_block(&self.layout, &self.identity),
            Region::Data(_) | Region::Zero => {}
        }
        out
    }

    fn used_dirs(&self, group: u32) -> u32 {
        let inodes = self.inodes.iter().enumerate();
        let used = inodes
            .filter(|(place, inode)| inode.packing.is_some() && number(*place).group() == group);
        u32::try_from(used.count()).unwrap()
    }

    fn directory_block(&self, n: u64, out: &mut Block) {
        let (first, place) = self.directories.find(n);
        let inode = &self.inodes[place];
        let entry = |n: u32| {
            let place = inode.children + usize::try_from(n).unwrap();
            let node = &self.inodes[place].node;
            Entry {
                inode: number(place),
                kind: node.kind(),
                name: &node.name,
            }
        };
        let packing = inode.packing.as_ref().unwrap();
        let parent = number(inode.parent);
        packing.write(n - first, number(place), parent, self.checksum, entry, out);
    }

    fn inode(&self, nr: InodeNr) -> [u8; 256] {
        let place = match nr.get() {
            2 => 0,
            8 if !self.layout.journal().is_empty() => {
                return journal::inode(&self.layout, self.checksum).unwrap();
            }
            1..=10 => return inode::reserved(nr, self.checksum),
            number => usize::try_from(number - 10).unwrap(),
        };
        let Some(planned) = self.inodes.get(place) else {
            return [0; 256];
        };
        let node = &planned.node;
        let packing = planned.packing.as_ref();
        let (size, links, body) = self.contents(planned);
        let indexed = packing.is_some_and(Packing::is_indexed);
        let mode = node.mode();
        let time = Time {
            seconds: node.seconds,
            nanoseconds: 0,
        };
        let inode = Inode {
            mode,
            uid: 70_000,
            gid: 100,
            size,
            links,
            modified: time,
            changed: time,
            body,
            indexed,
        };
        inode.encode(nr, self.checksum)
    }

    fn contents<'a>(&self, planned: &'a Planned) -> (u64, u32, Body<'a>) {
        let leaves = BlockNr(self.layout.extent_leaves().start + planned.leaves);
        let blocks = |area: u64, count| {
            let start = BlockNr(area + planned.start);
            Body::Blocks {
                start,
                count,
                leaves,
            }
        };
        match &planned.node.content {
            Content::Directory(_) => {
                let count = planned.packing.as_ref().unwrap().blocks();
                let body = blocks(self.layout.directories().start, count);
                (count * 4096, 2 + planned.subdirectories, body)
            }
            Content::Symlink(target) => {
                let long = target.len() >= 60;
                let start = self.layout.symlinks().start;
                let body = if long {
                    blocks(start, 1)
                } else {
                    Body::Inline(target)
                };
                (u64::try_from(target.len()).unwrap(), 1, body)
            }
            Content::File(size) => (
                *size,
                1,
                blocks(self.layout.data().start, size.div_ceil(4096)),
            ),
        }
    }

    /// Writes all blocks that are stored to a sparse file.
    pub(super) fn write(&self) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        file.as_file()
            .set_len(self.layout.block_count() * 4096)
            .unwrap();
        let mut block = 0;
        while block < self.layout.block_count() {
            let run = self.layout.run(BlockNr(block));
            if !run.zero {
                self.write_run(block..run.end.0, file.as_file());
            }
            block = run.end.0;
        }
        file
    }

    fn write_run(&self, blocks: impl Iterator<Item = u64>, file: &File) {
        let data = self.layout.data();
        for block in blocks.filter(|block| !data.contains(block)) {
            file.write_all_at(&self.block(BlockNr(block)), block * 4096)
                .unwrap();
        }
    }
}

/// Numbers all children of a directory, then those of each child.
fn flatten(root: Node) -> Vec<Planned> {
    let mut inodes = vec![planned(root, 0)];
    number_children(&mut inodes, 0);
    inodes
}

fn number_children(inodes: &mut Vec<Planned>, place: usize) {
    let Content::Directory(entries) = inodes[place].node.content.clone() else {
        return;
    };
    let children = inodes.len();
    inodes[place].children = children;
    let count = entries.len();
    for child in entries {
        let directory = matches!(child.content, Content::Directory(_));
        inodes[place].subdirectories += u32::from(directory);
        inodes.push(planned(child, place));
    }
    for child in children..children + count {
        number_children(inodes, child);
    }
}

fn planned(node: Node, parent: usize) -> Planned {
    Planned {
        node,
        parent,
        children: 0,
        subdirectories: 0,
        packing: None,
        start: 0,
        leaves: 0,
    }
}
