//! The assignment of a directory's entries to its blocks.

use super::{
    checksum::Checksum,
    dir::{self, DOTS, Directory, Entry, Filling},
    htree::{Hashed, Tree},
    numbers::{Block, InodeNr},
};
use crate::numbers::{to_u64, to_usize};
use std::ops::Range;

/// The assignment of one directory's entries to its blocks.
///
/// An entry is identified by its position in the order in which the names were
/// given, counted from 0; `.` and `..` are not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packing {
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Linear(Linear),
    Indexed(Box<Tree>),
}

/// The entries in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Linear {
    entries: u32,
    /// The first entry of each block after block 0: empty, and so without heap
    /// memory, for the many directories of one block.
    starts: Box<[u32]>,
}

impl Packing {
    /// The number of blocks of a linear directory with these names.
    pub(crate) fn linear_blocks<'a>(names: impl Iterator<Item = &'a [u8]>) -> u64 {
        let mut filling = Filling::after(DOTS);
        names.fold(1, |blocks, name| {
            blocks + u64::from(filling.overflows(dir::record_length(name)))
        })
    }

    /// A linear directory: entries in the order given.
    pub(crate) fn linear<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        Self {
            form: Form::Linear(Linear::new(names.map(dir::record_length))),
        }
    }

    /// A directory in hash order with an index over its blocks. One that fits
    /// into a block, or is too large for an index of two levels, is linear.
    pub(crate) fn indexed<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let hashed: Vec<_> = (0..)
            .zip(names)
            .map(|(position, name)| Hashed::new(position, name))
            .collect();
        let linear = Linear::new(hashed.iter().map(Hashed::record_length));
        if linear.starts.is_empty() {
            return Self {
                form: Form::Linear(linear),
            };
        }
        let form = match Tree::new(hashed) {
            Some(tree) => Form::Indexed(Box::new(tree)),
            None => Form::Linear(linear),
        };
        Self { form }
    }

    /// Whether there is an index, which the inode's flags must say
    /// (`EXT4_INDEX_FL`).
    pub(crate) const fn is_indexed(&self) -> bool {
        matches!(self.form, Form::Indexed(_))
    }

    /// The number of blocks of the directory, at least 1.
    pub(crate) fn blocks(&self) -> u64 {
        match &self.form {
            Form::Linear(linear) => linear.blocks(),
            Form::Indexed(tree) => tree.blocks(),
        }
    }

    /// The heap memory it holds, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.form {
            Form::Linear(linear) => size_of_val(&*linear.starts),
            Form::Indexed(tree) => size_of_val(&**tree) + tree.heap_bytes(),
        }
    }

    /// Writes block `index` of the directory whose inode is `own`. `entry`
    /// returns an entry by its position; its name must be the one that the
    /// packing was computed from.
    ///
    /// # Panics
    ///
    /// If the directory has no such block (see [`Packing::blocks`]), or an
    /// entry is longer than it was.
    #[expect(clippy::too_many_arguments, reason = "no two of them belong together")]
    pub(crate) fn write<'a>(
        &self,
        index: u64,
        own: InodeNr,
        parent: InodeNr,
        checksum: Checksum,
        entry: impl Fn(u32) -> Entry<'a>,
        out: &mut Block,
    ) {
        let directory = Directory::new(own, parent, checksum);
        match &self.form {
            Form::Linear(linear) => {
                let dots = directory
                    .dots
                    .into_iter()
                    .take(if index == 0 { 2 } else { 0 });
                let entries = linear.entries_in(index).map(entry);
                dir::write_block(dots.chain(entries), directory.checksum, out);
            }
            Form::Indexed(tree) => tree.write(index, &directory, entry, out),
        }
    }
}

impl Linear {
    fn new(lengths: impl Iterator<Item = usize>) -> Self {
        let mut filling = Filling::after(DOTS);
        let mut starts = Vec::new();
        let mut entries = 0;
        for length in lengths {
            if filling.overflows(length) {
                starts.push(entries);
            }
            entries += 1;
        }
        Self {
            entries,
            starts: starts.into_boxed_slice(),
        }
    }

    fn blocks(&self) -> u64 {
        1 + to_u64(self.starts.len())
    }

    /// The positions of the entries in a block.
    fn entries_in(&self, block: u64) -> Range<u32> {
        let block = to_usize(block);
        let first = block.checked_sub(1).map_or(0, |before| self.starts[before]);
        // The last block holds all entries that are left.
        let end = self.starts.get(block).copied().unwrap_or(self.entries);
        first..end
    }
}
