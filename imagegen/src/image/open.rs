//! Planning the image of a commit.

use std::sync::Arc;

use gix::{ObjectId, bstr::ByteSlice};
use sha2::{Digest, Sha256};

use crate::{
    Error, Kind, Result,
    ext4::{Demand, Identity, Layout},
    git::{Attributes, Commit, Snapshot, dotgit, dotgit::index::Form},
    image::{
        IndexVersion, LAYOUT_VERSION, Options,
        allowance::{Allowance, Meter},
        contents::Origin,
        converted,
        dir_layout::blocks_of,
        dirs::{Dir, by_inode, data_blocks},
        dot_git::DotGit,
        file_time::FileTime,
        folder::{Folder, SyntheticKind},
        ignores,
        index::{IndexMap, Monitored, WorkTree},
        notices::Notices,
        plan::Plan,
        stamp::Stamp,
        walk::{Trees, Walk},
    },
    numbers::to_u64,
};

/// The bounds of the journal in blocks; within them it is a sixteenth of the
/// free space. 1024 is the minimum of jbd2, and a larger one costs more of the
/// client's disk than it gains.
const JOURNAL_BLOCKS: (u64, u64) = (1024, 4096);

/// The free space per free inode in bytes, the default of mke2fs.
const BYTES_PER_FREE_INODE: u64 = 16384;

/// Plans the image of `commit`; of an unborn branch if that is the null id.
pub(super) fn open(
    origin: &Origin,
    commit: ObjectId,
    options: &Options,
    allowance: &dyn Allowance,
) -> Result<Plan> {
    let commit = if commit.is_null() {
        Commit::unborn(commit.kind())
    } else {
        origin.objects().commit(commit)?
    };
    let (mut walk, converted_bytes) = walk(origin, &commit, options, allowance)?;
    let mut dot_git = None;
    if let (true, Some(snapshot)) = (options.has_history(), origin.snapshot()) {
        let ids = ignores::read_ids(&walk.dirs, &walk.converted_ignores, origin.objects());
        let ids = ids.map_err(|error| error.within(format!("commit {}", commit.id)))?;
        dot_git = Some(add_dot_git(&mut walk, snapshot, &commit, (options, ids))?);
    }
    let (index, small) = match dot_git {
        Some(Added { index, small }) => (index, small),
        None => (None, Vec::new()),
    };
    let areas = place_data(&mut walk.dirs);
    let layout = layout(&walk, options)?;
    let plan = Plan {
        converted_bytes,
        notices: walk.notices.into_sentences(),
        layout,
        text: text(origin, &commit, options),
        label: label(&commit),
        mtime: FileTime::clamped(commit.seconds).max(FileTime::FIRST_OF_ZIP),
        by_inode: by_inode(&walk.dirs),
        areas,
        dirs: walk.dirs,
        indexed: walk.indexed,
        small,
        index,
    };
    allowance.memory(to_u64(plan.heap_bytes()))?;
    Ok(plan)
}

/// The walk, and the length of all files that checkout converts.
fn walk<'a>(
    origin: &Origin,
    commit: &Commit,
    options: &Options,
    allowance: &'a dyn Allowance,
) -> Result<(Walk<'a>, u64)> {
    let objects = origin.objects();
    let root = if options.path.is_empty() {
        commit.tree
    } else {
        objects.tree_at(commit.tree, options.path.as_bstr())?
    };
    objects.prefetch_trees(root);
    let with_dot_git = options.has_history() && origin.snapshot().is_some();
    let mut trees = Trees {
        objects,
        attributes: Attributes::new(),
        entered: 0,
        with_dot_git,
        with_ignores: with_dot_git && options.fsmonitor,
        notices: Notices::default(),
    };
    let of_commit = |error: Error| error.within(format!("commit {}", commit.id));
    let mut walk = Walk::trees(&mut trees, root, Meter::new(allowance)).map_err(of_commit)?;
    let converted = converted::measure(&mut walk, objects, allowance).map_err(of_commit)?;
    Ok((walk, converted))
}

/// What was added to a walk.
struct Added {
    index: Option<IndexMap>,
    /// The content of the small files.
    small: Vec<Arc<[u8]>>,
}

/// Adds `.git` to the walk. On an unborn branch there is no index, as git has it.
fn add_dot_git(
    walk: &mut Walk<'_>,
    snapshot: &Snapshot,
    commit: &Commit,
    (options, ids): (&Options, Vec<(usize, ObjectId)>),
) -> Result<Added> {
    let mut dot_git = DotGit::new();
    let form = Form {
        kind: commit.id.kind(),
        version: if options.fsmonitor {
            IndexVersion::V2
        } else {
            options.index
        },
    };
    let index = (!commit.id.is_null()).then(|| {
        let sorted = by_inode(&walk.dirs);
        let work_tree = WorkTree {
            dirs: &walk.dirs,
            by_inode: &sorted,
        };
        let monitored = options.fsmonitor.then(|| Monitored {
            worktree: &options.worktree,
            ids,
        });
        IndexMap::new(work_tree, form, monitored)
    });
    if let Some(index) = &index {
        dot_git.file(b"index", SyntheticKind::Index, index.length());
    }
    let mut small: Vec<Arc<[u8]>> = Vec::new();
    let head = options.head.as_ref().map(|head| head.as_bstr());
    let files = dotgit::small_files(snapshot, commit, head, options.fsmonitor);
    for (path, bytes) in files? {
        let kind = SyntheticKind::Small(small.len());
        dot_git.file(&path, kind, to_u64(bytes.len()));
        small.push(bytes.into());
    }
    for path in dotgit::DIRECTORIES {
        dot_git.directory(path.as_bytes());
    }
    for (number, file) in snapshot.files().iter().enumerate() {
        let path = [b"objects/", file.path.as_slice()].concat();
        dot_git.file(&path, SyntheticKind::Snapshot(number), file.size);
    }
    walk.dot_git(dot_git.into_folders())?;
    Ok(Added { index, small })
}

/// Assigns a run of data blocks to every directory: first the small files of
/// `.git`, then the work tree, then `.git/objects`.
fn place_data(dirs: &mut [Dir]) -> Vec<(u64, usize)> {
    let mut areas = Vec::new();
    let mut next = 0;
    for current in [Rank::DotGit, Rank::WorkTree, Rank::Objects] {
        for (number, dir) in dirs.iter_mut().enumerate() {
            if rank(dir) == current && dir.layout.data_blocks() > 0 {
                dir.first_data = next;
                areas.push((next, number));
                next += dir.layout.data_blocks();
            }
        }
    }
    areas
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    DotGit,
    WorkTree,
    Objects,
}

fn rank(dir: &Dir) -> Rank {
    match &dir.folder {
        Folder::Tree { .. } | Folder::Gitlink => Rank::WorkTree,
        Folder::Synthetic(entries) => {
            let of_snapshot = entries
                .iter()
                .any(|entry| matches!(entry.kind, SyntheticKind::Snapshot(_)));
            if of_snapshot {
                Rank::Objects
            } else {
                Rank::DotGit
            }
        }
    }
}

/// The length of the journal in blocks. Without free space the file system
/// cannot be written to and needs none.
fn journal_blocks(free: u64) -> u64 {
    let (min, max) = JOURNAL_BLOCKS;
    match free {
        0 => 0,
        free => (blocks_of(free) / 16).clamp(min, max),
    }
}

fn layout(walk: &Walk<'_>, options: &Options) -> Result<Layout> {
    let too_large = || {
        let message = "the image would exceed 16 TiB, the largest ext4 without the 64bit feature";
        Error::new(Kind::Unsupported, message)
    };
    let free_inodes = u32::try_from(options.free / BYTES_PER_FREE_INODE);
    let demand = Demand {
        last_inode: walk.last_inode(),
        directory_blocks: walk.directory_blocks(),
        symlink_blocks: walk.symlink_blocks(),
        extent_leaves: walk.extent_leaves(),
        data_blocks: data_blocks(&walk.dirs),
        free_blocks: blocks_of(options.free),
        free_inodes: free_inodes.map_err(|_| too_large())?,
        journal_blocks: journal_blocks(options.free),
        dir_index: !walk.indexed.is_empty() || options.free > 0,
    };
    Layout::new(&demand).ok_or_else(too_large)
}

/// Everything that the bytes of the image depend on, but for owner, group and
/// time.
fn text(origin: &Origin, commit: &Commit, options: &Options) -> String {
    let snapshot = origin.snapshot().filter(|_| options.has_history());
    let snapshot = snapshot.map_or_else(String::new, |snapshot| snapshot.id().to_string());
    let Options {
        free,
        head,
        index,
        fsmonitor,
        worktree,
        path,
        ..
    } = options;
    let head = head.as_ref().map_or_else(String::new, ToString::to_string);
    let index = index.number();
    let monitored = if *fsmonitor {
        format!(" {worktree}")
    } else {
        String::new()
    };
    format!(
        "{LAYOUT_VERSION} {} {snapshot} {free} {head} {index} {path}{monitored}",
        commit.id
    )
}

fn label(commit: &Commit) -> [u8; 16] {
    let mut label = [0; 16];
    let hex = commit.id.to_hex_with_len(12).to_string();
    label[..hex.len()].copy_from_slice(hex.as_bytes());
    label
}

/// The UUID and label of the file system. The UUID is a hash of everything
/// that the bytes of the image depend on.
pub(super) fn identity(plan: &Plan, stamp: &Stamp) -> Identity {
    let Stamp { uid, gid, mtime } = stamp;
    let text = format!("{uid} {gid} {mtime} {}", plan.text);
    let digest: [u8; 32] = Sha256::digest(text).into();
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest[..16]);
    // RFC 9562, section 5.8: a vendor-specific UUID has version 8, variant 0b10.
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Identity {
        uuid,
        label: plan.label,
    }
}
