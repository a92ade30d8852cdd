//! Which entry of a directory lies in which of its blocks.

use super::{
    checksum::Checksum,
    dir::{self, DOTS, Directory, Entry, Filling},
    htree::{Hashed, Tree},
    numbers::{Block, InodeNr, count, index},
};
use std::ops::Range;

/// Which entry of one directory lies in which of its blocks.
///
/// Entries are known by their place in the order in which their names were
/// given; `.` and `..` are not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Linear(Linear),
    Indexed(Box<Tree>),
}

/// In plain order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Linear {
    entries: u32,
    /// The first entry of each block but the first, so that a directory of
    /// one block, as nearly all are, costs nothing.
    starts: Box<[u32]>,
}

impl Packing {
    /// The blocks of a directory in plain order, without making its packing.
    pub fn linear_blocks<'a>(names: impl Iterator<Item = &'a [u8]>) -> u64 {
        let mut filling = Filling::after(DOTS);
        names.fold(1, |blocks, name| {
            blocks + u64::from(filling.overflows(dir::record_length(name)))
        })
    }

    /// In the order given.
    pub fn linear<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        Self {
            form: Form::Linear(Linear::new(names.map(dir::record_length))),
        }
    }

    /// By hash, with an index over the blocks. A directory of one block, and
    /// one too large for an index of two levels, is packed in plain order.
    pub fn indexed<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let hashed: Vec<_> = (0..)
            .zip(names)
            .map(|(place, name)| Hashed::new(place, name))
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

    /// Whether there is an index, so that the inode must say so.
    pub const fn is_indexed(&self) -> bool {
        matches!(self.form, Form::Indexed(_))
    }

    /// The directory's blocks.
    pub fn blocks(&self) -> u64 {
        match &self.form {
            Form::Linear(linear) => linear.blocks(),
            Form::Indexed(tree) => tree.blocks(),
        }
    }

    /// Bytes of memory behind it.
    pub fn heap_bytes(&self) -> usize {
        match &self.form {
            Form::Linear(linear) => size_of_val(&*linear.starts),
            Form::Indexed(tree) => size_of_val(&**tree) + tree.heap_bytes(),
        }
    }

    /// The `index`-th block of the directory `own`. `entry` gives the entries
    /// by their place, with the names that the packing was made from.
    #[expect(
        clippy::too_many_arguments,
        reason = "nothing of it stays the same between two calls"
    )]
    pub fn write<'a>(
        &self,
        index: u64,
        own: InodeNr,
        parent: InodeNr,
        checksum: &Checksum,
        entry: impl Fn(u32) -> Entry<'a>,
        out: &mut Block,
    ) {
        let directory = Directory::new(own, parent, *checksum);
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
        1 + count(self.starts.len())
    }

    fn entries_in(&self, block: u64) -> Range<u32> {
        let block: usize = index(block);
        let start = |block: usize| self.starts.get(block).copied();
        let first = block
            .checked_sub(1)
            .map_or(Some(0), start)
            .unwrap_or(self.entries);
        first..start(block).unwrap_or(self.entries)
    }
}
