//! A damaged plan: reading fails or panics, and never gives other bytes.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use gix::ObjectId;
use tempfile::TempDir;

use super::{
    Image, Options, Origin,
    folder::{Folder, SyntheticKind},
    plan::Plan,
};
use crate::{
    ext4::{BLOCK_SIZE, BlockNr, Demand, InodeNr, Layout, extent},
    git::{Cache, Repository, SnapshotStore},
    numbers::to_u64,
    support::git::git,
};

/// A commit with files of every kind, in directories.
const STREAM: &str = "commit refs/heads/main\n\
    committer C <c@example.org> 1700000100 +0100\n\
    data 0\n\
    M 100644 inline a/b/one\ndata 4\none\n\
    M 100644 inline a/two\ndata 4\ntwo\n\
    M 120000 inline a/fast\ndata 3\none\n\
    M 120000 inline a/slow\ndata 64\n\
    0123456789012345678901234567890123456789012345678901234567890123\n\
    M 100644 inline crlf/.gitattributes\ndata 11\n* eol=crlf\n\n\
    M 100644 inline crlf/text\ndata 4\nfour\n\
    M 160000 1234567890123456789012345678901234567890 module\n\
    M 100755 inline run\ndata 0\n\n";

/// A repository with that commit, and the directory it is in.
struct Fixture {
    directory: TempDir,
    commit: ObjectId,
}

impl Fixture {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path();
        git(path, &["init", "-q", "-b", "main", "repo"], b"");
        git(
            &path.join("repo"),
            &["fast-import", "--quiet"],
            STREAM.as_bytes(),
        );
        let id = git(&path.join("repo"), &["rev-parse", "main"], b"");
        let commit = ObjectId::from_hex(id.trim_ascii()).unwrap();
        Self { directory, commit }
    }

    /// The image, with an empty cache.
    fn open(&self) -> Image {
        let path = self.directory.path();
        let cache = Cache::new(16 << 20, path);
        let repository = Repository::open(&path.join("repo")).unwrap();
        let store = SnapshotStore::open(&path.join("state")).unwrap();
        let snapshot = store.take(&repository, self.commit, &cache).unwrap();
        let options = Options {
            free: 1 << 20,
            ..Options::default()
        };
        Image::open(Origin::Snapshot(snapshot), self.commit, &options).unwrap()
    }
}

/// The stored blocks of an image by number; `None` for those that cannot be
/// read, by an error or by a panic.
fn blocks(image: &Image, layout: &Layout) -> Vec<(u64, Option<Vec<u8>>)> {
    let mut blocks = Vec::new();
    for block in 0..layout.block_count() {
        if layout.run(BlockNr(block)).zero {
            continue;
        }
        let mut bytes = vec![0xa5; BLOCK_SIZE];
        let offset = block * to_u64(BLOCK_SIZE);
        let read = AssertUnwindSafe(|| image.read_at(offset, &mut bytes).is_ok());
        let read = panic::catch_unwind(read).unwrap_or(false);
        blocks.push((block, read.then_some(bytes)));
    }
    blocks
}

/// Asserts that some blocks of a damaged image cannot be read, and all others
/// are unchanged.
fn check(fixture: &Fixture, case: &str, damage: impl FnOnce(&mut Image)) {
    let mut image = fixture.open();
    let layout = image.plan.layout.clone();
    let expected = blocks(&image, &layout);
    let readable = |blocks: &[(u64, Option<Vec<u8>>)]| {
        blocks.iter().filter(|(_, bytes)| bytes.is_some()).count()
    };
    assert_eq!(readable(&expected), expected.len(), "{case}");
    // Content that is cached is right whatever the plan says.
    image = fixture.open();
    damage(&mut image);
    let damaged = blocks(&image, &layout);
    assert!(readable(&damaged) < damaged.len(), "{case}: nothing fails");
    for ((block, found), (_, expected)) in damaged.into_iter().zip(expected) {
        assert!(
            found.is_none() || found == expected,
            "{case}: other bytes in block {block}, {:?}",
            layout.region(BlockNr(block))
        );
    }
}

/// The plan of an image that no other one shares.
fn plan_of(image: &mut Image) -> &mut Plan {
    Arc::get_mut(&mut image.plan).unwrap()
}

/// The number of the first directory that `matches`.
fn position(plan: &Plan, matches: impl Fn(&Folder) -> bool) -> usize {
    let mut dirs = plan.dirs.iter();
    dirs.position(|dir| matches(&dir.folder)).unwrap()
}

/// Replaces entries of `.git` of one kind by another one.
fn replace_kind(plan: &mut Plan, from: fn(SyntheticKind) -> bool, to: SyntheticKind) {
    for dir in &mut plan.dirs {
        if let Folder::Synthetic(entries) = &mut dir.folder {
            let entries = entries.iter_mut().filter(|entry| from(entry.kind));
            entries.for_each(|entry| entry.kind = to);
        }
    }
}

#[test]
fn a_damaged_list_of_data_areas_is_detected() {
    let fixture = Fixture::new();
    check(&fixture, "no areas", |image| plan_of(image).areas.clear());
    check(&fixture, "the first is missing", |image| {
        plan_of(image).areas.remove(0);
    });
    check(&fixture, "the last is missing", |image| {
        plan_of(image).areas.pop();
    });
    check(&fixture, "one is missing", |image| {
        plan_of(image).areas.remove(1);
    });
    check(&fixture, "other directories", |image| {
        let (first, second) = (plan_of(image).areas[0].1, plan_of(image).areas[1].1);
        plan_of(image).areas[0].1 = second;
        plan_of(image).areas[1].1 = first;
    });
    check(&fixture, "no such directory", |image| {
        plan_of(image).areas[0].1 = usize::MAX;
    });
    check(&fixture, "shifted", |image| {
        for (first, _) in &mut plan_of(image).areas {
            *first += 1;
        }
    });
}

#[test]
fn a_damaged_list_of_inodes_is_detected() {
    let fixture = Fixture::new();
    check(&fixture, "empty", |image| plan_of(image).by_inode.clear());
    check(&fixture, "one is missing", |image| {
        plan_of(image).by_inode.pop();
    });
    check(&fixture, "other directories", |image| {
        let number = plan_of(image).by_inode[0].1;
        plan_of(image).by_inode[1].1 = number;
    });
    check(&fixture, "no such directory", |image| {
        plan_of(image).by_inode[1].1 = usize::MAX;
    });
}

#[test]
fn missing_directories_are_detected() {
    let fixture = Fixture::new();
    check(&fixture, "none left", |image| plan_of(image).dirs.clear());
    check(&fixture, "the last is missing", |image| {
        plan_of(image).dirs.pop();
    });
    check(&fixture, "an empty one", |image| {
        let dir = position(&image.plan, |folder| matches!(folder, Folder::Synthetic(_)));
        plan_of(image).dirs[dir].folder = Folder::Gitlink;
    });
}

#[test]
fn damaged_content_is_detected() {
    let fixture = Fixture::new();
    check(&fixture, "no small files", |image| {
        plan_of(image).small.clear();
    });
    check(&fixture, "a longer file", |image| {
        let longer = [&*plan_of(image).small[0], b"x"].concat();
        plan_of(image).small[0] = Arc::from(longer);
    });
    check(&fixture, "an empty file", |image| {
        plan_of(image).small[0] = Arc::from(*b"");
    });
    let is_snapshot = |kind| matches!(kind, SyntheticKind::Snapshot(_));
    let no_file = SyntheticKind::Snapshot(usize::MAX);
    check(&fixture, "no such file of the snapshot", |image| {
        replace_kind(plan_of(image), is_snapshot, no_file);
    });
}

#[test]
fn an_index_of_another_length_is_an_error() {
    let fixture = Fixture::new();
    let mut image = fixture.open();
    for dir in &mut plan_of(&mut image).dirs {
        if let Folder::Synthetic(entries) = &mut dir.folder {
            for entry in entries {
                if entry.kind == SyntheticKind::Index {
                    entry.size -= 1;
                }
            }
        }
    }
    let offset = (0..image.size())
        .step_by(BLOCK_SIZE)
        .find(|offset| image.describe(*offset) == ".git/index");
    let error = image.read_at(offset.unwrap(), &mut [0]).unwrap_err();
    assert_eq!(error.kind(), crate::Kind::Corrupt, "{error}");
    assert!(error.to_string().starts_with(".git/index: "), "{error}");
}

#[test]
fn a_layout_with_more_than_the_plan_has_is_detected() {
    let fixture = Fixture::new();
    let image = fixture.open();
    let plan = &image.plan;
    let length = |range: std::ops::Range<u64>| range.end - range.start;
    let demand = Demand {
        last_inode: plan.layout.last_inode(),
        directory_blocks: length(plan.layout.directories()),
        symlink_blocks: length(plan.layout.symlinks()),
        extent_leaves: length(plan.layout.extent_leaves()),
        data_blocks: length(plan.layout.data()),
        free_blocks: 0,
        free_inodes: 0,
        journal_blocks: 0,
        dir_index: false,
    };
    let more = |change: fn(&mut Demand)| {
        let mut demand = demand;
        change(&mut demand);
        Layout::new(&demand).unwrap()
    };
    let directory_end: fn(&Layout) -> u64 = |layout| layout.directories().end - 1;
    for (case, layout, block) in [
        (
            "directory",
            more(|demand| demand.directory_blocks += 1),
            directory_end,
        ),
        (
            "symlink",
            more(|demand| demand.symlink_blocks += 1),
            |layout| layout.symlinks().end - 1,
        ),
        (
            "extent leaf",
            more(|demand| demand.extent_leaves += 1),
            |layout| layout.extent_leaves().end - 1,
        ),
        ("data", more(|demand| demand.data_blocks += 1), |layout| {
            layout.data().end - 1
        }),
    ] {
        let mut damaged = fixture.open();
        let offset = block(&layout) * to_u64(BLOCK_SIZE);
        plan_of(&mut damaged).layout = layout;
        let read = AssertUnwindSafe(|| damaged.read_at(offset, &mut [0]).is_ok());
        assert!(!panic::catch_unwind(read).unwrap_or(false), "{case}");
    }
}

#[test]
fn an_inode_that_no_file_has_panics() {
    let image = Fixture::new().open();
    let plan = &image.plan;
    let last = plan.layout.last_inode();
    plan.entry_of(last);
    let unused = [last.plus(1), InodeNr::new(u32::MAX).unwrap(), InodeNr::ROOT];
    for inode in unused {
        let find = AssertUnwindSafe(|| plan.entry_of(inode));
        assert!(panic::catch_unwind(find).is_err(), "{inode:?}");
    }
    let mut image = image;
    let demand = Demand {
        last_inode: last.plus(1),
        directory_blocks: 0,
        symlink_blocks: 0,
        extent_leaves: 0,
        data_blocks: 0,
        free_blocks: 0,
        free_inodes: 0,
        journal_blocks: 0,
        dir_index: false,
    };
    plan_of(&mut image).layout = Layout::new(&demand).unwrap();
    let offset = u64::from(last.get()) * 256 + 2 * to_u64(BLOCK_SIZE);
    let read = AssertUnwindSafe(|| image.read_at(offset, &mut [0]));
    assert!(panic::catch_unwind(read).is_err());
}

#[test]
fn a_leaf_that_a_file_does_not_have_panics() {
    let image = Fixture::new().open();
    let checksum = image.checksum.inode(InodeNr::FIRST);
    for (blocks, index) in [(0, 0), (1, 0), (4 * 32768 + 1, 1), (extent::MAX_BLOCKS, 4)] {
        let write = AssertUnwindSafe(|| {
            extent::leaf(BlockNr(0), blocks, index, checksum, &mut [0; BLOCK_SIZE]);
        });
        assert!(panic::catch_unwind(write).is_err(), "{blocks} {index}");
    }
}
