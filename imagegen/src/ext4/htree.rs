//! A directory in the order of its names' hashes: `dir_index`, an "htree".
//!
//! ```text
//! block 0           root ───┬────────────┐
//! 1..=nodes         node  node …         │   only if the leaves do not fit into the root
//! nodes + 1 and on  leaf leaf leaf leaf …
//! ```

use super::{
    dir::{self, Directory, Entry, Filling},
    dx::{self, Child, NODE_LIMIT, ROOT_LIMIT},
    hash::{Hash, half_md4},
    numbers::Block,
};
use crate::numbers::{exact, to_u64, to_usize};

/// An entry with its hash, not yet assigned to a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hashed {
    hash: Hash,
    /// Its position in the order in which the names were given.
    position: u32,
    record_length: u16,
}

impl Hashed {
    pub(super) fn new(position: u32, name: &[u8]) -> Self {
        Self {
            hash: half_md4(name),
            position,
            record_length: exact(dir::record_length(name)),
        }
    }

    pub(super) fn record_length(&self) -> usize {
        usize::from(self.record_length)
    }
}

/// The assignment of entries to leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// The positions of the entries, in the order of their hashes.
    order: Box<[u32]>,
    leaves: Box<[Leaf]>,
    nodes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaf {
    /// The index of its first entry in `order`.
    start: u32,
    /// The lowest hash in it; the lowest bit is set when the leaf before ends
    /// with entries of the same hash.
    key: u32,
}

impl Tree {
    /// The tree; `None` if it would need more than two levels of index.
    pub(super) fn new(mut entries: Vec<Hashed>) -> Option<Self> {
        entries.sort_unstable();
        let leaves = leaves(&entries);
        let nodes = nodes(leaves.len())?;
        let order = entries.iter().map(|entry| entry.position).collect();
        Some(Self {
            order,
            leaves,
            nodes,
        })
    }

    pub(super) fn blocks(&self) -> u64 {
        1 + u64::from(self.nodes) + to_u64(self.leaves.len())
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.order) + size_of_val(&*self.leaves)
    }

    /// Writes a block of the directory.
    ///
    /// # Panics
    ///
    /// If the directory has no such block (see [`Tree::blocks`]).
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
                dx::write_node(
                    self.below_node(to_usize(block - 1)),
                    directory.checksum,
                    out,
                );
            }
            _ => {
                let positions = self.positions(to_usize(block - 1 - nodes));
                dir::write_block(
                    positions.iter().map(|position| entry(*position)),
                    directory.checksum,
                    out,
                );
            }
        }
    }

    const fn levels(&self) -> u8 {
        if self.nodes == 0 { 0 } else { 1 }
    }

    /// The children of the root are contiguous from block 1 on: all leaves, or
    /// all nodes, each with the key of its first leaf.
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
            .expect("every node has leaves");
        let before = exact::<u32, _>(node) * u32::from(NODE_LIMIT);
        (1 + self.nodes + before..).zip(leaves).map(child)
    }

    /// The positions of the entries in a leaf.
    fn positions(&self, leaf: usize) -> &[u32] {
        let first = to_usize(self.leaves[leaf].start);
        // The last leaf holds all entries that are left.
        let next = self.leaves.get(leaf + 1);
        let end = next.map_or(self.order.len(), |next| to_usize(next.start));
        &self.order[first..end]
    }
}

fn child((block, leaf): (u32, &Leaf)) -> Child {
    Child {
        key: leaf.key,
        block,
    }
}

/// Divides the sorted entries into leaves, each as full as possible.
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

/// The number of nodes above `leaves` leaves; `None` if they do not fit into
/// the root.
fn nodes(leaves: usize) -> Option<u32> {
    let (root, node) = (usize::from(ROOT_LIMIT), usize::from(NODE_LIMIT));
    let nodes = if leaves <= root {
        0
    } else {
        leaves.div_ceil(node)
    };
    (nodes <= root).then(|| exact(nodes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(hashes: impl IntoIterator<Item = u32>, record_length: u16) -> Vec<Hashed> {
        let entry = |(position, major)| Hashed {
            hash: Hash { major, minor: 0 },
            position,
            record_length,
        };
        (0..).zip(hashes).map(entry).collect()
    }

    #[test]
    fn a_leaf_that_continues_a_hash_is_marked() {
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
    fn an_index_has_at_most_two_levels() {
        let leaves = [507, 508, 510, 511, 507 * 510, 507 * 510 + 1];
        let expected = [Some(0), Some(1), Some(1), Some(2), Some(507), None];
        assert_eq!(leaves.map(nodes), expected);
    }
}
