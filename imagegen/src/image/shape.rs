//! Where the children of one directory lie, counted from the directory's own
//! first block: prefix sums over its entries.

use crate::{
    Error, Kind, Result,
    ext4::{BLOCK_SIZE, FileType, extent},
    image::{
        folder::{Child, Folder},
        numbers::wide,
    },
};

/// Prefix sums over one directory's entries.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Data blocks of the entries before each entry, and of all at the end.
    starts: Box<[u32]>,
    /// Slots of symlinks that need a block, ascending.
    slow_symlinks: Box<[u32]>,
    /// Slots of files that need extent leaves, ascending, with the leaves of
    /// those before.
    leaves: Box<[(u32, u32)]>,
    leaf_total: u32,
    /// Entries that are directories.
    pub(super) subdirectories: u32,
    /// Entries that stand in the git index.
    pub(super) indexed_files: u32,
}

/// Link targets are shorter (`symlink(2)`).
const PATH_MAX: u64 = 4096;

/// Blocks that hold `size` bytes.
pub(super) fn blocks_of(size: u64) -> u64 {
    size.div_ceil(wide(BLOCK_SIZE))
}

impl Shape {
    /// Sums up `folder`.
    ///
    /// # Errors
    ///
    /// A file above ext4's limit here, or more data than a disk of 16 TiB
    /// holds, is [`Kind::Unsupported`].
    pub(super) fn of(folder: &Folder) -> Result<Self> {
        let mut sums = Sums::default();
        let mut starts = Vec::with_capacity(folder.len() + 1);
        for (slot, child) in (0u32..).zip(folder.children()) {
            starts.push(sums.blocks);
            sums.indexed_files += u32::from(child.index_entry().is_some());
            if child.is_directory() {
                sums.subdirectories += 1;
            } else if child.file_type() == FileType::Symlink {
                sums.add_symlink(slot, &child)?;
            } else if child.file_type() == FileType::Regular {
                sums.add_file(slot, child.size).map_err(|error| {
                    error.within(String::from_utf8_lossy(child.name).into_owned())
                })?;
            }
        }
        starts.push(sums.blocks);
        Ok(Self {
            starts: starts.into(),
            slow_symlinks: sums.slow_symlinks.into(),
            leaves: sums.leaves.into(),
            leaf_total: sums.leaf_total,
            subdirectories: sums.subdirectories,
            indexed_files: sums.indexed_files,
        })
    }

    /// Bytes of memory behind it.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.slow_symlinks) + size_of_val(&*self.leaves)
    }

    /// Data blocks of all entries.
    pub(super) fn data_blocks(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0).into()
    }

    /// Symlinks that have a block.
    pub(super) fn slow_symlinks(&self) -> u64 {
        wide(self.slow_symlinks.len())
    }

    /// Extent leaves of all files.
    pub(super) fn leaf_total(&self) -> u64 {
        self.leaf_total.into()
    }

    /// The first data block of the entry at `slot`.
    pub(super) fn data_start(&self, slot: usize) -> u64 {
        self.starts[slot].into()
    }

    /// The entry that the data block belongs to, and the block within it.
    pub(super) fn data_at(&self, block: u64) -> (usize, u64) {
        let slot = self
            .starts
            .partition_point(|&start| u64::from(start) <= block)
            - 1;
        (slot, block - u64::from(self.starts[slot]))
    }

    /// The block of the slow symlink at `slot`.
    pub(super) fn symlink_start(&self, slot: u32) -> u64 {
        wide(self.slow_symlinks.partition_point(|&before| before < slot))
    }

    /// The slot of the slow symlink at `block`.
    pub(super) fn symlink_at(&self, block: usize) -> u32 {
        self.slow_symlinks[block]
    }

    /// The first extent leaf of the entry at `slot`.
    pub(super) fn leaf_start(&self, slot: u32) -> u64 {
        let at = self.leaves.partition_point(|&(before, _)| before < slot);
        self.leaves
            .get(at)
            .map_or(self.leaf_total, |&(_, start)| start)
            .into()
    }

    /// The slot of the file an extent leaf belongs to, and which of the
    /// file's leaves it is.
    pub(super) fn leaf_at(&self, leaf: u64) -> (u32, u64) {
        let at = self
            .leaves
            .partition_point(|&(_, start)| u64::from(start) <= leaf)
            - 1;
        let (slot, start) = self.leaves[at];
        (slot, leaf - u64::from(start))
    }
}

#[derive(Default)]
struct Sums {
    blocks: u32,
    slow_symlinks: Vec<u32>,
    leaves: Vec<(u32, u32)>,
    leaf_total: u32,
    subdirectories: u32,
    indexed_files: u32,
}

impl Sums {
    fn add_symlink(&mut self, slot: u32, child: &Child<'_>) -> Result<()> {
        if child.size == 0 || child.size >= PATH_MAX {
            let name = String::from_utf8_lossy(child.name);
            let told = format!(
                "{name}: a link to {} bytes; git checks out 1 to 4095",
                child.size
            );
            return Err(Error::new(Kind::Unsupported, told));
        }
        if child.is_slow_symlink() {
            self.slow_symlinks.push(slot);
        }
        Ok(())
    }

    fn add_file(&mut self, slot: u32, size: u64) -> Result<()> {
        let too_large = || Error::new(Kind::Unsupported, format!("{size} bytes are too many"));
        let blocks = blocks_of(size);
        if blocks > extent::MAX_BLOCKS {
            return Err(too_large());
        }
        let leaves = u32::try_from(extent::leaf_count(blocks)).map_err(|_| too_large())?;
        if leaves > 0 {
            self.leaves.push((slot, self.leaf_total));
            self.leaf_total = self.leaf_total.checked_add(leaves).ok_or_else(too_large)?;
        }
        let blocks = u32::try_from(blocks).map_err(|_| too_large())?;
        self.blocks = self.blocks.checked_add(blocks).ok_or_else(too_large)?;
        Ok(())
    }
}
