//! Where the entries of one directory lie, relative to the directory's first
//! data block, extent leaf and symlink block: prefix sums over its entries.

use crate::{
    Error, Kind, Result,
    ext4::{BLOCK_SIZE, FileType, extent},
    image::{
        folder::{Child, Folder},
        path::PATH_MAX,
    },
    numbers::{exact, to_u64},
};

/// Prefix sums over the entries of one directory.
#[derive(Debug)]
pub(super) struct DirLayout {
    /// For each entry the data blocks of the entries before it; last, those of
    /// all entries.
    starts: Box<[u32]>,
    /// The slots of symlinks that need a block, ascending.
    slow_symlinks: Box<[u32]>,
    /// The slots of files that need extent leaves, ascending, each with the
    /// leaves of the files before it.
    leaves: Box<[(u32, u32)]>,
    leaf_total: u32,
    /// The number of entries that are directories.
    pub(super) subdirectories: u32,
    /// The number of entries that are in the git index.
    pub(super) indexed_files: u32,
}

/// The number of blocks that hold `size` bytes.
pub(super) fn blocks_of(size: u64) -> u64 {
    size.div_ceil(to_u64(BLOCK_SIZE))
}

impl DirLayout {
    /// Computes the sums over the entries of `folder`.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] for a file larger than
    /// [`extent::MAX_BLOCKS`], a symlink that git does not check out, and more
    /// data than a disk of 16 TiB holds.
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

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The heap memory it holds, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.slow_symlinks) + size_of_val(&*self.leaves)
    }

    /// The data blocks of all entries.
    pub(super) fn data_blocks(&self) -> u64 {
        let all = self
            .starts
            .last()
            .expect("the sum of all entries comes last");
        u64::from(*all)
    }

    /// The number of symlinks that have a block.
    pub(super) fn slow_symlinks(&self) -> u64 {
        to_u64(self.slow_symlinks.len())
    }

    /// The extent leaves of all files.
    pub(super) fn leaf_total(&self) -> u64 {
        self.leaf_total.into()
    }

    /// The first data block of the entry at `slot`.
    pub(super) fn data_start(&self, slot: usize) -> u64 {
        self.starts[slot].into()
    }

    /// The slot of the entry that a data block belongs to, and which of the
    /// entry's blocks it is.
    ///
    /// # Panics
    ///
    /// If the directory has no such block.
    pub(super) fn data_at(&self, block: u64) -> (usize, u64) {
        assert!(
            block < self.data_blocks(),
            "a directory of {} data blocks has no block {block}",
            self.data_blocks()
        );
        let slot = self
            .starts
            .partition_point(|&start| u64::from(start) <= block)
            - 1;
        (slot, block - u64::from(self.starts[slot]))
    }

    /// The block of the slow symlink at `slot`.
    pub(super) fn symlink_start(&self, slot: u32) -> u64 {
        to_u64(self.slow_symlinks.partition_point(|&before| before < slot))
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

    /// The slot of the file that an extent leaf belongs to, and which of the
    /// file's leaves it is.
    ///
    /// # Panics
    ///
    /// If the directory has no such leaf.
    pub(super) fn leaf_at(&self, leaf: u64) -> (u32, u64) {
        assert!(
            leaf < self.leaf_total(),
            "a directory of {} extent leaves has no leaf {leaf}",
            self.leaf_total
        );
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
        if child.size == 0 || child.size >= to_u64(PATH_MAX) {
            let name = String::from_utf8_lossy(child.name);
            let message = format!(
                "{name}: a symlink to {} bytes; git checks out 1 to 4095",
                child.size
            );
            return Err(Error::new(Kind::Unsupported, message));
        }
        if child.is_slow_symlink() {
            self.slow_symlinks.push(slot);
        }
        Ok(())
    }

    fn add_file(&mut self, slot: u32, size: u64) -> Result<()> {
        let too_large = || {
            let message = format!("{size} bytes are too large for an image");
            Error::new(Kind::Unsupported, message)
        };
        let blocks = blocks_of(size);
        if blocks > extent::MAX_BLOCKS {
            return Err(too_large());
        }
        let leaves: u32 = exact(extent::leaf_count(blocks));
        if leaves > 0 {
            self.leaves.push((slot, self.leaf_total));
            self.leaf_total = self.leaf_total.checked_add(leaves).ok_or_else(too_large)?;
        }
        self.blocks = self
            .blocks
            .checked_add(exact(blocks))
            .ok_or_else(too_large)?;
        Ok(())
    }
}
