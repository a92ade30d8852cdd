//! Directory entries, and the blocks that hold them
//! (`Documentation/filesystems/ext4/directory.rst`).

use super::{
    checksum::{Checksum, InodeChecksum},
    numbers::{Block, InodeNr},
};
use std::mem;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
    transmute_mut,
};

/// `file_type` of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// `EXT4_FT_REG_FILE`
    Regular,
    /// `EXT4_FT_DIR`
    Directory,
    /// `EXT4_FT_SYMLINK`
    Symlink,
}

impl FileType {
    const fn code(self) -> u8 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::Symlink => 7,
        }
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The inode it stands for.
    pub inode: InodeNr,
    /// What that inode is.
    pub kind: FileType,
    /// 1 to 255 bytes without `/` and NUL.
    pub name: &'a [u8],
}

/// What all blocks of one directory have in common.
pub(super) struct Directory {
    /// `.` and `..`, with which every directory begins.
    pub(super) dots: [Entry<'static>; 2],
    pub(super) checksum: InodeChecksum,
}

impl Directory {
    pub(super) fn new(own: InodeNr, parent: InodeNr, checksum: Checksum) -> Self {
        let kind = FileType::Directory;
        let dot = Entry {
            inode: own,
            kind,
            name: b".",
        };
        let dotdot = Entry {
            inode: parent,
            kind,
            name: b"..",
        };
        Self {
            dots: [dot, dotdot],
            checksum: checksum.inode(own),
        }
    }
}

/// Bytes that `.` and `..` take.
pub(super) const DOTS: usize = 24;

/// Bytes of a block before its tail.
pub(super) const CAPACITY: usize = 4084;

/// `struct ext4_dir_entry_2`, before its name.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct EntryHeader {
    /// `inode`
    inode: U32,
    /// `rec_len`
    record_length: U16,
    /// `name_len`
    name_length: u8,
    /// `file_type`
    file_type: u8,
}

/// `struct ext4_dir_entry_tail`: an entry without inode, to those that know of
/// no checksums.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Tail {
    /// `det_reserved_zero1`
    inode: U32,
    /// `det_rec_len`
    record_length: U16,
    /// `det_reserved_zero2`
    name_length: u8,
    /// `det_reserved_ft`
    file_type: u8,
    /// `det_checksum`
    checksum: U32,
}

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct DirectoryBlock {
    records: [u8; CAPACITY],
    tail: Tail,
}

/// Bytes that a name takes: header and name, up to the next word.
pub(super) const fn record_length(name: &[u8]) -> usize {
    (size_of::<EntryHeader>() + name.len()).next_multiple_of(4)
}

/// A block of entries. The last one's record reaches up to the tail.
pub(super) fn write_block<'a>(
    entries: impl Iterator<Item = Entry<'a>>,
    checksum: InodeChecksum,
    out: &mut Block,
) {
    out.fill(0);
    let block: &mut DirectoryBlock = transmute_mut!(out);
    let mut rest = block.records.as_mut_slice();
    let mut entries = entries.peekable();
    while let Some(entry) = entries.next() {
        let last = entries.peek().is_none();
        let length = if last {
            rest.len()
        } else {
            record_length(entry.name)
        };
        let Some((record, behind)) = mem::take(&mut rest).split_at_mut_checked(length) else {
            break;
        };
        write_record(&entry, record);
        rest = behind;
    }
    block.tail.record_length = U16::new(12);
    block.tail.file_type = 0xDE;
    block.tail.checksum = U32::new(checksum.of(&block.records));
}

/// An entry whose record is as long as `record`.
pub(super) fn write_record(entry: &Entry<'_>, record: &mut [u8]) {
    let length = record.len();
    let Ok((header, rest)) = EntryHeader::mut_from_prefix(record) else {
        return;
    };
    header.inode = U32::new(entry.inode.get());
    header.record_length = U16::new(u16::try_from(length).unwrap_or(u16::MAX));
    header.name_length = u8::try_from(entry.name.len()).unwrap_or(u8::MAX);
    header.file_type = entry.kind.code();
    for (byte, from) in rest.iter_mut().zip(entry.name) {
        *byte = *from;
    }
}

/// How full a block is while entries are packed into it, in order.
pub(super) struct Filling {
    used: usize,
}

impl Filling {
    pub(super) const fn after(used: usize) -> Self {
        Self { used }
    }

    /// Takes a record; true if it had to go into a new block.
    pub(super) const fn overflows(&mut self, length: usize) -> bool {
        let overflows = self.used + length > CAPACITY;
        self.used = if overflows {
            length
        } else {
            self.used + length
        };
        overflows
    }
}
