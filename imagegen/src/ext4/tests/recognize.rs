//! Superblocks that are recognized, and those that are not.

use super::{
    disk::{Disk, Options},
    tree::{directory, file},
};
use crate::ext4::{Block, BlockNr, Use, checksum::Crc, recognize};

/// Offset and length of what differs between disks and is not told by their size:
/// free blocks and inodes, the bit of `dir_index`, UUID, label, where the journal
/// begins, and overhead.
const FREE: [(usize, usize); 7] = [
    (0xC, 8),
    (0x5C, 1),
    (0x68, 16),
    (0x78, 16),
    (0x120, 4),
    (0x248, 4),
    (0x3FC, 4),
];
/// And what a mount for writing changes.
const WRITTEN: [(usize, usize); 10] = [
    (0x2C, 8),
    (0x34, 2),
    (0x3A, 2),
    (0x40, 4),
    (0x60, 1),
    (0x88, 64),
    (0xE8, 4),
    (0x178, 8),
    (0x194, 0x6C),
    (0x274, 8),
];

/// Block 0 of a disk with the identity of an image's, and the bytes of the disk.
fn disk(options: Options) -> (Block, u64) {
    let disk = Disk::new(directory("", vec![file("f", 5000)]), options);
    let mut block = disk.block(BlockNr(0));
    block[1024 + 0x6E] = 0x8a;
    block[1024 + 0x70] = 0xb3;
    block[1024 + 0x78..1024 + 0x88].copy_from_slice(b"0123456789abcdef");
    seal(&mut block);
    (block, disk.layout.block_count() * 4096)
}

/// The checksum over the superblock, as whoever changes it makes it.
fn seal(block: &mut Block) {
    let sum = Crc::START.update(&block[1024..1024 + 0x3FC]).value();
    block[1024 + 0x3FC..2048].copy_from_slice(&sum.to_le_bytes());
}

fn is_in(at: usize, ranges: &[(usize, usize)]) -> bool {
    ranges
        .iter()
        .any(|(from, length)| (*from..from + length).contains(&at))
}

#[test]
fn what_is_written_here_is_recognized() {
    let free = Options {
        free_blocks: 100_000,
        free_inodes: 1000,
        ..Options::default()
    };
    let indexed = Options {
        index_from: Some(2),
        ..Options::default()
    };
    for options in [Options::default(), free, indexed] {
        let (block, size) = disk(options);
        for since in [Use::New, Use::Written] {
            assert_eq!(recognize(&block, size, since), Ok(()), "{options:?}");
        }
        let error = recognize(&block, size + 4096, Use::New).unwrap_err();
        assert!(error.contains("no whole block groups"), "{error}");
        let error = recognize(&block, size + (128 << 20), Use::New).unwrap_err();
        assert!(error.contains("s_inodes_count"), "{error}");
    }
}

#[test]
fn every_other_bit_of_block_0_is_a_difference() {
    let (good, size) = disk(Options {
        free_blocks: 100_000,
        ..Options::default()
    });
    for at in 0..4096 {
        for bit in 0..8 {
            let mut block = good;
            block[at] ^= 1 << bit;
            if is_in(at, &[(1024, 0x3FC)]) {
                seal(&mut block);
            }
            let known = at.checked_sub(1024);
            let may_be = known.is_some_and(|at| is_in(at, &FREE));
            if !may_be {
                assert!(
                    recognize(&block, size, Use::New).is_err(),
                    "bit {bit} at {at:#x}"
                );
            }
            if !may_be && !known.is_some_and(|at| is_in(at, &WRITTEN)) {
                assert!(
                    recognize(&block, size, Use::Written).is_err(),
                    "bit {bit} at {at:#x}"
                );
            }
        }
    }
    let mut unsealed = good;
    unsealed[1024 + 0x68] ^= 1;
    let error = recognize(&unsealed, size, Use::New).unwrap_err();
    assert!(error.contains("s_checksum"), "{error}");
}

#[test]
fn what_the_kernel_would_obey_is_named() {
    let (good, size) = disk(Options::default());
    for (at, value, named) in [
        (0x60, 4, "s_feature_incompat has needs_recovery"),
        (0x62, 1, "s_feature_incompat has encrypt"),
        (0x61, 0x80, "has inline_data"),
        (0x63, 0x80, "has 0x80000000"),
        (0x65, 1, "s_feature_ro_compat has quota"),
        (0x5D, 0x10, "s_feature_compat has orphan_file"),
        (0x60, 2, "s_feature_incompat lacks filetype"),
        (0xE8, 12, "s_last_orphan"),
        (0x200, b'd', "s_mount_opts"),
        (0x240, 3, "s_usr_quota_inum"),
        (0x3C, 2, "s_errors"),
        (0x24C, 1, "s_backup_bgs"),
        (0x270, 1, "s_encrypt_algos"),
        (0x6E, 0x70, "no hash"),
        (0x78, b'z' ^ b'0', "no commit id"),
    ] {
        let mut block = good;
        block[1024 + at] ^= value;
        seal(&mut block);
        let error = recognize(&block, size, Use::New).unwrap_err();
        assert!(error.contains(named), "{named}: {error}");
    }
    let error = recognize(&[0; 4096], size, Use::New).unwrap_err();
    assert_eq!(error, "it has no superblock of ext4");
}
