//! The journal of a file system that has free space: inode 8, and the journal
//! superblock in its first block (`Documentation/filesystems/ext4/journal.rst`,
//! `journal_superblock_t`). Its other blocks are zeroes, which is an empty
//! journal. Numbers in it are big endian, unlike all others on the disk.

use super::{
    checksum::Checksum,
    identity::{CREATED, Identity},
    inode::{Body, Inode, Mode, Time},
    layout::Layout,
    numbers::{BLOCK_BYTES, BLOCK_SIZE, Block, BlockNr, INODE_SIZE, InodeNr},
};
use crate::numbers::exact;
use zerocopy::{FromZeros, Immutable, IntoBytes, Unaligned, big_endian::U32, transmute};

/// The journal's inode, `EXT4_JOURNAL_INO`.
pub(crate) const INODE: InodeNr = InodeNr::MIN.plus(7);

/// `JBD2_MAGIC_NUMBER`
const MAGIC: u32 = 0xC03B_3998;
/// `JBD2_SUPERBLOCK_V2`
const SUPERBLOCK_V2: u32 = 4;

/// The fields of `journal_superblock_t` that are used, and the rest of the
/// block.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct JournalSuperblock {
    /// `h_magic`
    magic: U32,
    /// `h_blocktype`
    block_type: U32,
    /// `h_sequence`
    header_sequence: U32,
    /// `s_blocksize`
    block_size: U32,
    /// `s_maxlen`: blocks of the journal, this one included.
    blocks: U32,
    /// `s_first`: the first block of the log.
    first: U32,
    /// `s_sequence`: the first commit id expected in the log.
    sequence: U32,
    /// `s_start`: the block where the log starts; 0 for an empty log.
    start: U32,
    /// `s_errno` and the features: none. The kernel sets those that it needs.
    unused_0x20: [u8; 16],
    /// `s_uuid`
    uuid: [u8; 16],
    /// `s_nr_users`
    users: U32,
    rest: [u8; BLOCK_SIZE - 68],
}

/// The bytes of inode 8; `None` for a file system without a journal.
pub(crate) fn inode(layout: &Layout, checksum: Checksum) -> Option<[u8; INODE_SIZE]> {
    let blocks = layout.journal();
    let count = blocks.end - blocks.start;
    let created = Time {
        seconds: CREATED.into(),
        nanoseconds: 0,
    };
    let inode = Inode {
        mode: Mode::PRIVATE,
        uid: 0,
        gid: 0,
        size: count * BLOCK_BYTES,
        links: 1,
        modified: created,
        changed: created,
        body: Body::Blocks {
            start: BlockNr(blocks.start),
            count,
            leaves: BlockNr(0),
        },
        indexed: false,
    };
    (count > 0).then(|| inode.encode(INODE, checksum))
}

/// The bytes of the journal's first block, which holds its superblock.
pub(crate) fn first_block(layout: &Layout, identity: &Identity) -> Block {
    let blocks = layout.journal();
    let mut superblock = JournalSuperblock::new_zeroed();
    superblock.magic = U32::new(MAGIC);
    superblock.block_type = U32::new(SUPERBLOCK_V2);
    superblock.block_size = U32::new(exact(BLOCK_BYTES));
    superblock.blocks = U32::new(exact(blocks.end - blocks.start));
    superblock.first = U32::new(1);
    superblock.sequence = U32::new(1);
    superblock.uuid = identity.uuid;
    superblock.users = U32::new(1);
    transmute!(superblock)
}
