//! e2fsck reports no error.

use super::{
    disk::{Disk, Options},
    tree::{Node, directory, file, files, mixed},
};
use crate::{
    ext4::{BlockNr, hash::half_md4},
    support::e2fsprogs::assert_clean,
};

const INDEXED: Options = Options {
    index_from: Some(2),
    free_blocks: 0,
    free_inodes: 0,
};

#[test]
fn a_tree_with_one_of_everything() {
    assert_clean(Disk::new(mixed(), Options::default()).write().path());
}

#[test]
fn the_same_tree_with_indexes() {
    assert_clean(Disk::new(mixed(), INDEXED).write().path());
}

#[test]
fn room_for_more_in_many_groups() {
    let free = Options {
        index_from: Some(64),
        free_blocks: 1 << 22,
        free_inodes: 100_000,
    };
    assert_clean(Disk::new(mixed(), free).write().path());
}

#[test]
fn an_empty_root() {
    assert_clean(
        Disk::new(directory("", vec![]), Options::default())
            .write()
            .path(),
    );
    assert_clean(Disk::new(directory("", vec![]), INDEXED).write().path());
}

#[test]
fn inodes_that_end_with_a_block_and_with_a_group() {
    for count in [6, 7, 8182, 8183] {
        assert_clean(
            Disk::new(directory("", files(count)), Options::default())
                .write()
                .path(),
        );
    }
}

#[test]
fn blocks_in_use_that_end_with_a_group() {
    // Three groups with one free block, with none, and one block too many.
    let fixed = Disk::new(directory("", files(1)), Options::default())
        .layout
        .used_blocks();
    for over in 0..3 {
        let blocks = 3 * 32768 - fixed - 2 * 514 - 1 + over;
        let disk = Disk::new(
            directory("", vec![file("f", blocks * 4096)]),
            Options::default(),
        );
        assert_clean(disk.write().path());
    }
}

#[test]
fn a_file_of_the_greatest_length() {
    let huge = file("huge", (170 << 30) - 1);
    assert_clean(
        Disk::new(directory("", vec![huge]), Options::default())
            .write()
            .path(),
    );
}

#[test]
fn five_thousand_entries_in_plain_order() {
    let linear = directory("linear", files(5000));
    assert_clean(
        Disk::new(directory("", vec![linear]), Options::default())
            .write()
            .path(),
    );
}

#[test]
fn a_hundred_thousand_entries_with_an_index() {
    let indexed = directory("indexed", files(100_000));
    assert_clean(
        Disk::new(directory("", vec![indexed]), INDEXED)
            .write()
            .path(),
    );
}

#[test]
fn an_index_of_two_levels() {
    let long = |n: u32| [&n.to_be_bytes().map(|byte| byte | 0x80)[..], &[b'x'; 251]].concat();
    let entries = (0..60_000)
        .filter(|n| n & 0x8080 == 0)
        .map(|n| file(long(n), 0))
        .collect();
    assert_clean(
        Disk::new(directory("", vec![directory("long", entries)]), INDEXED)
            .write()
            .path(),
    );
}

/// So many pairs of names with the same hash that the index splits one.
fn collisions() -> Vec<Node> {
    let mut hashed: Vec<_> = (0..600_000)
        .map(|n| format!("a name of some length {n:06}"))
        .collect();
    hashed.sort_by_cached_key(|name| half_md4(name.as_bytes()).major);
    let same =
        |pair: &&[String]| half_md4(pair[0].as_bytes()).major == half_md4(pair[1].as_bytes()).major;
    hashed
        .windows(2)
        .filter(same)
        .flatten()
        .map(|name| file(name, 0))
        .collect()
}

#[test]
fn names_of_one_hash_in_two_blocks() {
    let disk = Disk::new(directory("", collisions()), INDEXED);
    let root = disk.block(BlockNr(disk.layout.directories().start));
    // The hashes in the index begin at byte 40; that of the first block is not stored.
    let keys = root[40..].chunks(8).take_while(|entry| entry[4] != 0);
    let continued = keys.filter(|entry| entry[0] & 1 == 1).count();
    assert!(continued > 0);
    assert_clean(disk.write().path());
}

#[test]
fn link_counts_around_the_limit() {
    for count in [64_998, 64_999, 70_000] {
        let entries = (0..count)
            .map(|n| directory(format!("d{n:06}"), vec![]))
            .collect();
        let many = directory("many", entries);
        assert_clean(Disk::new(directory("", vec![many]), INDEXED).write().path());
    }
}
