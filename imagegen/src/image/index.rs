//! The content of `.git/index`: every file of the work tree with its inode.

use gix::hash::Kind;

use crate::{
    ext4::InodeNr,
    git::dotgit::index::{
        Counter, Encoder, Sink, Stat, common_prefix, entry_length, recorded_size,
    },
    image::{
        folder::{Content, Folder},
        plan::{Dir, inode_at, number_of},
    },
};

/// What all entries of the index have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    pub(super) format: Kind,
    pub(super) seconds: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The directories of the work tree, for walks in the order of the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct WorkTree<'a> {
    pub(super) dirs: &'a [Dir],
    pub(super) by_inode: &'a [(InodeNr, usize)],
}

impl WorkTree<'_> {
    /// Writes the index to `sink`: all entries by path, then all trees.
    pub(super) fn encode<S: Sink>(&self, sink: S, common: Common) -> S {
        let totals = self.totals();
        let mut encoder = Encoder::new(sink, totals[0].files, common.format);
        self.entries(&mut encoder, common);
        self.trees(&mut encoder, &totals);
        encoder.finish()
    }

    /// The number of bytes that [`WorkTree::encode`] writes.
    pub(super) fn length(&self, format: Kind) -> u64 {
        let totals = self.totals();
        let mut encoder = Encoder::new(Counter::default(), 0, format);
        self.trees(&mut encoder, &totals);
        encoder.finish().bytes() + self.entries_length(&totals, format)
    }

    fn trees<S: Sink>(&self, encoder: &mut Encoder<S>, totals: &[Total]) {
        for (dir, total) in self.dirs.iter().zip(totals) {
            match &dir.folder {
                Folder::Tree { .. } if total.invalid => {
                    encoder.invalid_tree(self.name(dir), total.subtrees);
                }
                Folder::Tree { id, .. } => {
                    encoder.tree(self.name(dir), total.files, total.subtrees, id);
                }
                Folder::Synthetic(_) | Folder::Gitlink => {}
            }
        }
    }

    fn name(&self, dir: &Dir) -> &[u8] {
        match dir.inode {
            InodeNr::ROOT => b"",
            _ => self.dirs[dir.parent].folder.child(dir.slot).name,
        }
    }

    /// Writes all entries, depth first: those of a directory come where its name
    /// sorts.
    fn entries<S: Sink>(&self, encoder: &mut Encoder<S>, common: Common) {
        let mut path = Vec::new();
        let mut open = vec![Open {
            dir: 0,
            slot: 0,
            path: 0,
        }];
        while let Some(top) = open.last_mut() {
            let dir = &self.dirs[top.dir];
            path.truncate(top.path);
            if top.slot == dir.folder.len() {
                open.pop();
                continue;
            }
            let child = dir.folder.child(top.slot);
            let inode = inode_at(dir.first_child, top.slot);
            top.slot += 1;
            path.extend_from_slice(child.name);
            if let Content::Tree { .. } = child.content {
                path.push(b'/');
                open.push(Open {
                    dir: self.number(inode),
                    slot: 0,
                    path: path.len(),
                });
            } else if let Some((mode, id)) = child.index_entry() {
                let stat = Stat {
                    seconds: common.seconds,
                    inode: inode.get(),
                    uid: common.uid,
                    gid: common.gid,
                    size: recorded_size(child.size),
                };
                encoder.entry(&path, mode, id, &stat);
            }
        }
    }

    /// The length of all entries in bytes. It is enough to compare names: the
    /// common part of two consecutive paths ends in the directory that holds
    /// both.
    fn entries_length(&self, totals: &[Total], format: Kind) -> u64 {
        let (mut bytes, mut before, mut shared) = (0, 0, 0);
        let mut open = vec![Measured::default()];
        while let Some(top) = open.last_mut() {
            let dir = &self.dirs[top.dir];
            let (slot, path) = (top.slot, top.path);
            if slot == dir.folder.len() {
                open.pop();
                continue;
            }
            top.slot += 1;
            let child = dir.folder.child(slot);
            if let Some(last) = top.last {
                shared = path + common_prefix(dir.folder.child(last).name, child.name);
            }
            let length = path + child.name.len();
            if let Content::Tree { .. } = child.content {
                let number = self.number(inode_at(dir.first_child, slot));
                if totals[number].files > 0 {
                    top.last = Some(slot);
                    open.push(Measured {
                        dir: number,
                        path: length + 1,
                        ..Measured::default()
                    });
                }
            } else if child.index_entry().is_some() {
                bytes += entry_length(format, before, shared, length);
                before = length;
                top.last = Some(slot);
            }
        }
        bytes
    }

    /// The number of the directory with this inode.
    fn number(&self, inode: InodeNr) -> usize {
        number_of(self.dirs, self.by_inode, inode).expect("every directory is listed by its inode")
    }

    /// The index entries below each directory and its direct subtrees. Parents
    /// precede their children, so one pass from the end computes all sums.
    fn totals(&self) -> Vec<Total> {
        let mut totals = vec![Total::default(); self.dirs.len()];
        for (number, dir) in self.dirs.iter().enumerate().rev() {
            totals[number].files += dir.layout.indexed_files;
            if let Folder::Tree { listing, .. } = &dir.folder {
                totals[number].invalid |= !listing.is_canonical();
            }
            if number != 0 {
                let is_tree = matches!(dir.folder, Folder::Tree { .. });
                let Total { files, invalid, .. } = totals[number];
                totals[dir.parent].invalid |= invalid;
                totals[dir.parent].files += files;
                totals[dir.parent].subtrees += u32::from(is_tree);
            }
        }
        totals
    }
}

/// A directory being walked: the next slot, and the length of its path.
struct Open {
    dir: usize,
    slot: usize,
    path: usize,
}

/// A directory being measured: the next slot, the length of an entry's path up
/// to its name, and the last slot that has entries in the index.
#[derive(Default)]
struct Measured {
    dir: usize,
    slot: usize,
    path: usize,
    last: Option<usize>,
}

#[derive(Clone, Copy, Default)]
struct Total {
    files: u32,
    subtrees: u32,
    /// Whether it, or a directory below it, is not a tree as git writes it.
    invalid: bool,
}
