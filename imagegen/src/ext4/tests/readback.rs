//! dumpe2fs and debugfs read what was written.

use super::{
    disk::{Disk, Options},
    tree::{directory, files, mixed},
};
use crate::support::e2fsprogs::run;
use std::{collections::BTreeMap, path::Path};

fn superblock(image: &Path) -> BTreeMap<String, String> {
    let (stdout, _) = run("dumpe2fs", &["-h"], image);
    let fields = stdout.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

fn debugfs(image: &Path, request: &str) -> String {
    run("debugfs", &["-R", request], image).0
}

#[test]
fn dumpe2fs_reads_the_superblock() {
    let free = Options {
        index_from: None,
        free_blocks: 1 << 20,
        free_inodes: 0,
    };
    let disk = Disk::new(mixed(), free);
    let image = disk.write();
    let fields = superblock(image.path());
    let groups = u64::from(disk.layout.group_count());
    let expected = [
        ("Filesystem volume name", "imagegen".to_owned()),
        (
            "Filesystem UUID",
            "5a5a5a5a-5a5a-5a5a-5a5a-5a5a5a5a5a5a".to_owned(),
        ),
        ("Filesystem state", "clean".to_owned()),
        (
            "Filesystem features",
            "has_journal ext_attr sparse_super2 filetype extent flex_bg large_file huge_file \
             dir_nlink extra_isize metadata_csum"
                .to_owned(),
        ),
        ("Block count", (groups * 32768).to_string()),
        (
            "Free blocks",
            (groups * 32768 - disk.layout.used_blocks()).to_string(),
        ),
        ("Inode count", (groups * 8192).to_string()),
        (
            "Free inodes",
            (groups * 8192 - u64::from(disk.layout.last_inode().get())).to_string(),
        ),
        (
            "Overhead clusters",
            // The last are the journal's: 4 MiB.
            (1 + groups.div_ceil(128) + groups * (2 + 512) + 1024).to_string(),
        ),
        ("Inode size", "256".to_owned()),
        ("Required extra isize", "32".to_owned()),
        ("Default directory hash", "half_md4".to_owned()),
        (
            "Directory Hash Seed",
            "10111213-1415-1617-1819-1a1b1c1d1e1f".to_owned(),
        ),
        ("Filesystem flags", "signed_directory_hash".to_owned()),
        ("Flex block group size", "64".to_owned()),
        ("Checksum type", "crc32c".to_owned()),
    ];
    for (name, value) in expected {
        assert_eq!(fields.get(name), Some(&value), "{name}");
    }
}

#[test]
fn debugfs_reads_inodes() {
    let image = Disk::new(mixed(), Options::default()).write();
    let stat = |path| debugfs(image.path(), &format!("stat {path}"));
    let large = stat("s536870913");
    assert!(large.contains("User: 70000   Group:   100"), "{large}");
    assert!(large.contains("Size: 536870913"), "{large}");
    // 131073 blocks of data and one extent leaf, in sectors.
    assert!(large.contains("Links: 1   Blockcount: 1048592"), "{large}");
    assert!(large.contains("(ETB0):"), "{large}");
    assert!(stat("l59").contains("Fast link dest: \"ttttt"));
    assert!(stat("l4095").contains("Links: 1   Blockcount: 8"));
    assert!(stat("t-1").contains("mtime: 0xffffffff:00000000 -- Wed Dec 31 23:59:59 1969"));
    assert!(
        stat("t4294967296").contains("crtime: 0x00000000:00000001 -- Sun Feb  7 06:28:16 2106")
    );
}

#[test]
fn debugfs_lists_all_names() {
    let listing = |options| {
        let tree = directory("", vec![directory("many", files(20_000))]);
        let image = Disk::new(tree, options).write();
        let listing = debugfs(image.path(), "ls -p /many");
        let names = listing.lines().filter_map(|line| line.split('/').nth(5));
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.sort();
        names
    };
    let mut expected: Vec<_> = (0..20_000).map(|n| format!("f{n:07}")).collect();
    expected.splice(0..0, [".".to_owned(), "..".to_owned()]);
    assert_eq!(listing(Options::default()), expected);
    assert_eq!(
        listing(Options {
            index_from: Some(2),
            ..Options::default()
        }),
        expected
    );
}
