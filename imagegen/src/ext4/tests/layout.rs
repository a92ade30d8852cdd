//! Properties of all layouts.

use crate::ext4::{BlockNr, Demand, InodeNr, Layout, Region};
use proptest::prelude::*;

fn demand() -> impl Strategy<Value = Demand> {
    let counts = (0..5000_u64, 0..50_u64, 0..50_u64, 0..200_000_u64);
    let journal = prop_oneof![Just(0), 1024..5000_u64];
    let room = (0..200_000_u64, 0..100_000_u32, journal, any::<bool>());
    (11..100_000_u32, counts, room).prop_map(
        |(last, counts, (free_blocks, free_inodes, journal_blocks, dir_index))| {
            let (directory_blocks, symlink_blocks, extent_leaves, data_blocks) = counts;
            Demand {
                last_inode: InodeNr::new(last).unwrap(),
                directory_blocks,
                symlink_blocks,
                extent_leaves,
                data_blocks,
                free_blocks,
                free_inodes,
                journal_blocks,
                dir_index,
            }
        },
    )
}

/// The expected region of each block, area by area.
fn regions(demand: &Demand, groups: u32) -> Vec<Region> {
    let last = demand.last_inode.get();
    let inode_groups = last.div_ceil(8192);
    let table = |block: u32| match InodeNr::new(block * 16 + 1) {
        Some(first) if first.get() <= last => Region::InodeTable { first },
        _ => Region::Zero,
    };
    let mut regions = vec![Region::Superblock];
    let descriptors = (0..groups).step_by(128);
    regions.extend(descriptors.map(|first| Region::GroupDescriptors { first }));
    regions.extend((0..inode_groups * 512).map(table));
    regions.extend((0..demand.directory_blocks).map(Region::Directory));
    regions.extend((0..demand.symlink_blocks).map(Region::Symlink));
    regions.extend((0..demand.extent_leaves).map(Region::ExtentLeaf));
    regions.extend((0..demand.data_blocks).map(Region::Data));
    let after = |used: u32, region: fn(u32) -> Region| {
        move |group| {
            if group < used {
                region(group)
            } else {
                Region::Zero
            }
        }
    };
    let journal =
        regions.len() + usize::try_from(2 * groups + (groups - inode_groups) * 512).unwrap();
    let used = journal + usize::try_from(demand.journal_blocks).unwrap();
    let block_groups = u32::try_from(used.div_ceil(32768)).unwrap();
    regions.extend((0..groups).map(after(block_groups, Region::BlockBitmap)));
    regions.extend((0..groups).map(after(inode_groups, Region::InodeBitmap)));
    regions.resize(journal, Region::Zero);
    if demand.journal_blocks > 0 {
        regions.push(Region::Journal);
    }
    regions.resize(used, Region::Zero);
    regions
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn regions_tile_the_disk_and_runs_agree(demand in demand()) {
        let layout = Layout::new(&demand).unwrap();
        let mut expected = regions(&demand, layout.group_count());
        prop_assert_eq!(u64::try_from(expected.len()).unwrap(), layout.used_blocks());
        expected.resize(usize::try_from(layout.block_count()).unwrap() + 9, Region::Zero);
        let mut run = layout.run(BlockNr(0));
        for (block, expected) in (0..).map(BlockNr).zip(expected) {
            if block == run.end && block.0 < layout.block_count() {
                run = layout.run(block);
            }
            prop_assert_eq!(layout.region(block), expected, "{:?}", block);
            prop_assert_eq!(run.zero, expected == Region::Zero, "{:?}", block);
        }
        prop_assert_eq!(run.end.0, layout.block_count());
    }

    #[test]
    fn a_layout_is_large_enough_and_minimal(demand in demand()) {
        let layout = Layout::new(&demand).unwrap();
        let groups = layout.group_count();
        prop_assert!(layout.used_blocks() + demand.free_blocks <= layout.block_count());
        prop_assert!(demand.last_inode.get() + demand.free_inodes <= groups * 8192);
        let spare_blocks = layout.block_count() - layout.used_blocks() - demand.free_blocks;
        let spare_inodes = groups * 8192 - demand.last_inode.get() - demand.free_inodes;
        prop_assert!(spare_blocks < 32768 - 514 || spare_inodes < 8192);
    }
}

#[test]
fn a_disk_has_at_most_16_tib() {
    let demand = |data_blocks, free_inodes| Demand {
        last_inode: InodeNr::FIRST,
        directory_blocks: 1,
        symlink_blocks: 0,
        extent_leaves: 0,
        data_blocks,
        free_blocks: 0,
        free_inodes,
        journal_blocks: 0,
        dir_index: false,
    };
    let largest = 131_071 * (32768 - 514) - 1024 - 2;
    let layout = Layout::new(&demand(largest, 0)).unwrap();
    assert_eq!(layout.block_count(), (1 << 32) - 32768);
    assert_eq!(layout.used_blocks(), layout.block_count());
    assert_eq!(Layout::new(&demand(largest + 1, 0)), None);
    assert_eq!(Layout::new(&demand(u64::MAX, 0)), None);
    assert!(Layout::new(&demand(0, 131_071 * 8192 - 11)).is_some());
    assert_eq!(Layout::new(&demand(0, 131_071 * 8192 - 10)), None);
    assert_eq!(Layout::new(&demand(0, u32::MAX)), None);
}
