//! Directory entries and linear directory blocks
//! (`Documentation/filesystems/ext4/directory.rst`).

use super::{
    checksum::{Checksum, InodeChecksum},
    numbers::{Block, InodeNr},
};
use crate::numbers::exact;
use std::mem;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
    transmute_mut,
};

/// The `file_type` of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileType {
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

/// An entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The inode that the entry refers to.
    pub(crate) inode: InodeNr,
    /// The file type of that inode.
    pub(crate) kind: FileType,
    /// The file name: 1 to 255 bytes, neither `/` nor NUL.
    pub(crate) name: &'a [u8],
}

/// What all blocks of one directory share.
pub(super) struct Directory {
    /// `.` and `..`, the first two entries of every directory.
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

/// The length of the records of `.` and `..` in bytes.
pub(super) const DOTS: usize = 24;

/// The bytes of a block that hold records: all but the tail.
pub(super) const CAPACITY: usize = 4084;

/// `struct ext4_dir_entry_2` up to `name`.
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

/// `struct ext4_dir_entry_tail`, which looks like an unused entry to readers
/// without `metadata_csum`.
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

/// The length of an entry's record in bytes: header and name, rounded up to a
/// multiple of 4.
pub(super) const fn record_length(name: &[u8]) -> usize {
    (size_of::<EntryHeader>() + name.len()).next_multiple_of(4)
}

/// Writes a block of entries. The record of the last one extends to the tail.
///
/// # Panics
///
/// If there are no entries, or more than a block holds.
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
        let (record, free) = mem::take(&mut rest)
            .split_at_mut_checked(length)
            .expect("a block is given no more entries than it holds");
        write_record(&entry, record);
        rest = free;
    }
    assert!(rest.is_empty(), "every directory block has an entry");
    block.tail.record_length = U16::new(12);
    block.tail.file_type = 0xDE;
    block.tail.checksum = U32::new(checksum.of(&block.records));
}

/// Writes an entry whose record fills `record`.
///
/// # Panics
///
/// If the record is too short for the entry.
pub(super) fn write_record(entry: &Entry<'_>, record: &mut [u8]) {
    let length = record.len();
    let (header, rest) =
        EntryHeader::mut_from_prefix(record).expect("a record has room for its header");
    header.inode = U32::new(entry.inode.get());
    header.record_length = U16::new(exact(length));
    header.name_length = exact(entry.name.len());
    header.file_type = entry.kind.code();
    rest[..entry.name.len()].copy_from_slice(entry.name);
}

/// The bytes in use of a block while entries are packed into it, in order.
pub(super) struct Filling {
    used: usize,
}

impl Filling {
    pub(super) const fn after(used: usize) -> Self {
        Self { used }
    }

    /// Adds a record of `length` bytes; `true` if it starts a new block.
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
