//! A directory in the order of its names' hashes: `dir_index`, an "htree".
//!
//! ```text
//! block 0        root ───┬────────────┐
//! 1..=nodes      node  node …         │   only when the root has no room for all leaves
//! then           leaf leaf leaf leaf …
//! ```

use super::{
    dir::{self, Directory, Entry, Filling},
    dx::{self, Child, NODE_LIMIT, ROOT_LIMIT},
    hash::{Hash, half_md4},
    numbers::{Block, count, index},
};

/// An entry, before its place in the tree is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hashed {
    hash: Hash,
    place: u32,
    record_length: u16,
}

impl Hashed {
    pub(super) fn new(place: u32, name: &[u8]) -> Self {
        let record_length = u16::try_from(dir::record_length(name)).unwrap_or(u16::MAX);
        Self {
            hash: half_md4(name),
            place,
            record_length,
        }
    }

    pub(super) fn record_length(&self) -> usize {
        usize::from(self.record_length)
    }
}

/// Which entries lie in which leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// Places of the entries, by hash.
    order: Box<[u32]>,
    leaves: Box<[Leaf]>,
    nodes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaf {
    /// Where in the order it begins.
    start: u32,
    /// The lowest hash in it, and whether some of that hash lie in the leaf
    /// before.
    key: u32,
}

impl Tree {
    /// The tree; None if it would need more than two levels of index.
    pub(super) fn new(mut entries: Vec<Hashed>) -> Option<Self> {
        entries.sort_unstable();
        let leaves = leaves(&entries);
        let nodes = nodes(leaves.len())?;
        let order = entries.iter().map(|entry| entry.place).collect();
        Some(Self {
            order,
            leaves,
            nodes,
        })
    }

    pub(super) fn blocks(&self) -> u64 {
        1 + u64::from(self.nodes) + count(self.leaves.len())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.order) + size_of_val(&*self.leaves)
    }

    pub(super) fn write<'a>(
        &self,
        block: u64,
        directory: &Directory,
        entry: impl Fn(u32) -> Entry<'a>,
        out: &mut Block,
    ) {
        let nodes = u64::from(self.nodes);
        match block {
            0 => dx::write_root(directory, self.levels(), self.below_root(), out),
            _ if block <= nodes => {
                dx::write_node(self.below_node(index(block - 1)), directory.checksum, out);
            }
            _ => {
                let places = self.places(index(block - 1 - nodes));
                dir::write_block(
                    places.iter().map(|place| entry(*place)),
                    directory.checksum,
                    out,
                );
            }
        }
    }

    const fn levels(&self) -> u8 {
        if self.nodes == 0 { 0 } else { 1 }
    }

    /// Children follow each other on disk, so what stands below the root are
    /// the blocks from 1 on: all leaves, or every node by its first leaf.
    fn below_root(&self) -> impl Iterator<Item = Child> {
        let step = if self.nodes == 0 {
            1
        } else {
            usize::from(NODE_LIMIT)
        };
        (1..).zip(self.leaves.iter().step_by(step)).map(child)
    }

    fn below_node(&self, node: usize) -> impl Iterator<Item = Child> {
        let leaves = self
            .leaves
            .chunks(usize::from(NODE_LIMIT))
            .nth(node)
            .unwrap_or_default();
        let before = u32::try_from(node)
            .unwrap_or(u32::MAX)
            .saturating_mul(u32::from(NODE_LIMIT));
        (1 + self.nodes + before..).zip(leaves).map(child)
    }

    fn places(&self, leaf: usize) -> &[u32] {
        let start = |leaf: usize| self.leaves.get(leaf).map(|leaf| index(leaf.start));
        let first = start(leaf).unwrap_or(self.order.len());
        let end = start(leaf + 1).unwrap_or(self.order.len());
        self.order.get(first..end).unwrap_or_default()
    }
}

fn child((block, leaf): (u32, &Leaf)) -> Child {
    Child {
        key: leaf.key,
        block,
    }
}

/// Cuts the sorted entries into leaves, each as full as can be.
fn leaves(entries: &[Hashed]) -> Box<[Leaf]> {
    let mut filling = Filling::after(0);
    let mut leaves = Vec::new();
    let mut before = None;
    for (start, entry) in (0..).zip(entries) {
        let hash = entry.hash.major;
        if filling.overflows(entry.record_length()) || leaves.is_empty() {
            leaves.push(Leaf {
                start,
                key: hash | u32::from(before == Some(hash)),
            });
        }
        before = Some(hash);
    }
    leaves.into_boxed_slice()
}

/// Nodes that so many leaves need.
fn nodes(leaves: usize) -> Option<u32> {
    let (root, node) = (usize::from(ROOT_LIMIT), usize::from(NODE_LIMIT));
    let nodes = if leaves <= root {
        0
    } else {
        leaves.div_ceil(node)
    };
    if nodes > root {
        None
    } else {
        u32::try_from(nodes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(hashes: impl IntoIterator<Item = u32>, record_length: u16) -> Vec<Hashed> {
        let entry = |(place, major)| Hashed {
            hash: Hash { major, minor: 0 },
            place,
            record_length,
        };
        (0..).zip(hashes).map(entry).collect()
    }

    #[test]
    fn a_hash_that_goes_on_in_the_next_leaf_is_marked_there() {
        // Fifteen records of 264 bytes fill a leaf.
        let hashes = [vec![2; 10], vec![4; 25], vec![6; 10]].concat();
        let tree = Tree::new(entries(hashes, 264)).unwrap();
        let leaves: Vec<_> = tree
            .leaves
            .iter()
            .map(|leaf| (leaf.start, leaf.key))
            .collect();
        assert_eq!(leaves, [(0, 2), (15, 4 | 1), (30, 4 | 1)]);
        let tree = Tree::new(entries((0..45).map(|n| n / 15 * 2), 264)).unwrap();
        let leaves: Vec<_> = tree
            .leaves
            .iter()
            .map(|leaf| (leaf.start, leaf.key))
            .collect();
        assert_eq!(leaves, [(0, 0), (15, 2), (30, 4)]);
    }

    #[test]
    fn two_levels_are_the_limit() {
        let leaves = [507, 508, 510, 511, 507 * 510, 507 * 510 + 1];
        let expected = [Some(0), Some(1), Some(1), Some(2), Some(507), None];
        assert_eq!(leaves.map(nodes), expected);
    }
}
