//! Every entry lies in exactly one block, whatever the names.

use crate::ext4::{BLOCK_SIZE, Checksum, Entry, FileType, InodeNr, Packing};
use proptest::{collection::vec, prelude::*};

/// Inode numbers and names of a block's entries, by walking its records.
fn entries(block: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut entries = Vec::new();
    let mut rest = &block[..BLOCK_SIZE - 12];
    while !rest.is_empty() {
        let inode = u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]);
        let length = usize::from(u16::from_le_bytes([rest[4], rest[5]]));
        entries.push((inode, rest[8..8 + usize::from(rest[6])].to_vec()));
        // The `..` of an index root reaches over the tail.
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
            &checksum,
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
    fn plain_order_keeps_every_entry(names in names()) {
        let packing = Packing::linear(names.iter().map(Vec::as_slice));
        prop_assert_eq!(Packing::linear_blocks(names.iter().map(Vec::as_slice)), packing.blocks());
        let found = contents(&packing, &names);
        let dots = [(2, b".".to_vec()), (2, b"..".to_vec())];
        let expected: Vec<_> = dots.into_iter().chain((11..).zip(names)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn an_index_keeps_every_entry(names in names()) {
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

#[test]
fn a_directory_of_one_block_has_nothing_on_the_heap() {
    let names: Vec<_> = (0..253_u8).map(|n| [b'a', b'b', b'c', n]).collect();
    let full = 4084 / 12 - 2;
    let packing = Packing::indexed(names.iter().cycle().take(full).map(<[u8; 4]>::as_slice));
    assert_eq!((packing.blocks(), packing.heap_bytes()), (1, 0));
    let packing = Packing::linear(names.iter().cycle().take(full + 1).map(<[u8; 4]>::as_slice));
    assert_eq!((packing.blocks(), packing.heap_bytes()), (2, 4));
}
