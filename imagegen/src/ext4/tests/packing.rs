//! Every entry is in exactly one block, whatever the names.

use crate::ext4::{BLOCK_SIZE, Checksum, Entry, FileType, InodeNr, Packing};
use proptest::{collection::vec, prelude::*};
use std::panic;

/// The inode numbers and names of the entries of a block.
fn entries(block: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut rest = &block[..BLOCK_SIZE - 12];
    while !rest.is_empty() {
        let inode = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
        let length = usize::from(u16::from_le_bytes([rest[4], rest[5]]));
        entries.push((inode, rest[8..8 + usize::from(rest[6])].to_vec()));
        // The record of `..` in an index root covers the tail.
        rest = &rest[length.min(rest.len())..];
    }
    entries.retain(|(inode, _)| *inode != 0);
    entries
}

fn contents(packing: &Packing, names: &[Vec<u8>]) -> Vec<(u32, Vec<u8>)> {
    let checksum = Checksum::new(&[1; 16]);
    let entry = |place: u32| Entry {
        inode: InodeNr::FIRST.plus(place),
        kind: FileType::Regular,
        name: &names[usize::try_from(place).unwrap()],
    };
    let mut all = Vec::new();
    for block in 0..packing.blocks() {
        let mut out = [0xEE; BLOCK_SIZE];
        packing.write(
            block,
            InodeNr::ROOT,
            InodeNr::ROOT,
            checksum,
            entry,
            &mut out,
        );
        all.extend(entries(&out));
    }
    all
}

fn names() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 1..=255), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_linear_directory_has_every_entry(names in names()) {
        let packing = Packing::linear(names.iter().map(Vec::as_slice));
        prop_assert_eq!(Packing::linear_blocks(names.iter().map(Vec::as_slice)), packing.blocks());
        let found = contents(&packing, &names);
        let dots = [(2, b".".to_vec()), (2, b"..".to_vec())];
        let expected: Vec<_> = dots.into_iter().chain((11..).zip(names)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn an_indexed_directory_has_every_entry(names in names()) {
        let packing = Packing::indexed(names.iter().map(Vec::as_slice));
        let linear = Packing::linear_blocks(names.iter().map(Vec::as_slice));
        prop_assert_eq!(packing.is_indexed(), linear > 1);
        let mut found = contents(&packing, &names);
        found.sort();
        let dots = [(2, b".".to_vec()), (2, b"..".to_vec())];
        let expected: Vec<_> = dots.into_iter().chain((11..).zip(names)).collect();
        prop_assert_eq!(found, expected);
    }
}

/// Writes a block that the directory does not have, or entries that do not fit.
fn write_damaged(packing: &Packing, block: u64, name: &[u8]) {
    let entry = |place: u32| Entry {
        inode: InodeNr::FIRST.plus(place),
        kind: FileType::Regular,
        name,
    };
    let checksum = Checksum::new(&[1; 16]);
    let mut out = [0; BLOCK_SIZE];
    packing.write(
        block,
        InodeNr::ROOT,
        InodeNr::ROOT,
        checksum,
        entry,
        &mut out,
    );
}

#[test]
fn a_block_that_does_not_exist_and_an_entry_that_does_not_fit_panic() {
    let names: Vec<_> = (0..1000).map(|n| format!("{n:07}").into_bytes()).collect();
    let names = || names.iter().map(Vec::as_slice);
    for packing in [Packing::linear(names()), Packing::indexed(names())] {
        for block in [packing.blocks(), packing.blocks() + 1, u64::MAX] {
            let write = || write_damaged(&packing, block, b"0000000");
            assert!(panic::catch_unwind(write).is_err(), "block {block}");
        }
        let last = packing.blocks() - 1;
        let longer = || write_damaged(&packing, last, &[b'x'; 255]);
        assert!(panic::catch_unwind(longer).is_err(), "longer names");
    }
}

#[test]
fn a_directory_of_one_block_takes_no_heap_memory() {
    let names: Vec<_> = (0..253_u8).map(|n| [b'a', b'b', b'c', n]).collect();
    let full = 4084 / 12 - 2;
    let packing = Packing::indexed(names.iter().cycle().take(full).map(<[u8; 4]>::as_slice));
    assert_eq!((packing.blocks(), packing.heap_bytes()), (1, 0));
    let packing = Packing::linear(names.iter().cycle().take(full + 1).map(<[u8; 4]>::as_slice));
    assert_eq!((packing.blocks(), packing.heap_bytes()), (2, 4));
}
