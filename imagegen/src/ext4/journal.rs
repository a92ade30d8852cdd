//! The journal of a file system that will be written to: inode 8, and the
//! journal superblock in its first block (`Documentation/filesystems/ext4/journal.rst`,
//! `journal_superblock_t`). All else in it is zeroes: an empty journal. Its
//! numbers are big endian, alone on the whole disk.

use super::{
    checksum::Checksum,
    inode::{Body, Inode, Mode},
    layout::Layout,
    numbers::{BLOCK_BYTES, BLOCK_SIZE, Block, BlockNr, INODE_SIZE, InodeNr, low_u32},
    superblock::{Identity, MADE},
};
use zerocopy::{FromZeros, Immutable, IntoBytes, Unaligned, big_endian::U32, transmute};

/// The journal's inode, `EXT4_JOURNAL_INO`.
pub const INODE: InodeNr = InodeNr::MIN.plus(7);

/// The longest journal: it is one extent.
pub const MAX_BLOCKS: u64 = 32768;

/// `JBD2_MAGIC_NUMBER`
const MAGIC: u32 = 0xC03B_3998;
/// `JBD2_SUPERBLOCK_V2`
const SUPERBLOCK_V2: u32 = 4;

/// `journal_superblock_t`, as far as it is used.
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
    /// `s_first`: the first block of log.
    first: U32,
    /// `s_sequence`: the first commit expected.
    sequence: U32,
    /// `s_start`: where the log begins; 0 when it is empty.
    start: U32,
    /// `s_errno` and the features: none, the kernel adds what it wants.
    unused_0x20: [u8; 16],
    /// `s_uuid`
    uuid: [u8; 16],
    /// `s_nr_users`
    users: U32,
    behind: [u8; BLOCK_SIZE - 68],
}

/// The 256 bytes of inode 8, when there is a journal.
pub fn inode(layout: &Layout, checksum: &Checksum) -> Option<[u8; INODE_SIZE]> {
    let blocks = layout.journal();
    let count = blocks.end - blocks.start;
    let inode = Inode {
        mode: Mode::PRIVATE,
        uid: 0,
        gid: 0,
        size: count * BLOCK_BYTES,
        links: 1,
        seconds: MADE.into(),
        body: Body::Blocks {
            start: BlockNr(blocks.start),
            count,
            leaves: BlockNr(0),
        },
        indexed: false,
    };
    (count > 0).then(|| inode.encode(INODE, checksum))
}

/// The first block of the journal.
pub fn first_block(layout: &Layout, identity: &Identity) -> Block {
    let blocks = layout.journal();
    let mut superblock = JournalSuperblock::new_zeroed();
    superblock.magic = U32::new(MAGIC);
    superblock.block_type = U32::new(SUPERBLOCK_V2);
    superblock.block_size = U32::new(low_u32(BLOCK_BYTES));
    superblock.blocks = U32::new(low_u32(blocks.end - blocks.start));
    superblock.first = U32::new(1);
    superblock.sequence = U32::new(1);
    superblock.uuid = identity.uuid;
    superblock.users = U32::new(1);
    transmute!(superblock)
}
