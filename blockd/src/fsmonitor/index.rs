//! git's index, as far as it is compared (gitformat-index(5)). Whoever owns the work
//! tree has written it: what is not as it should be is no index.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
};

/// The signature, the version and the number of entries.
const HEADER: usize = 12;
/// The end of an index of either object format: a hash, or the end of one.
const END: usize = 20;
const END_LENGTH: u64 = 20;
/// In an entry: what precedes the object id, of that the mode, and its flags.
const BEFORE_ID: usize = 40;
const MODE: Range<usize> = 24..28;
const FLAGS: usize = 2;
const EXTENDED: u16 = 0x4000;
const NAME_MASK: u16 = 0xfff;
/// Extensions with which the entries are not all there is to the index.
const OF_OTHER_KINDS: [&[u8; 4]; 2] = [b"link", b"sdir"];

/// An index of version 2 or 3.
#[derive(Debug)]
pub(super) struct Index {
    bytes: Vec<u8>,
    id_length: usize,
    count: u32,
    /// Where `UNTR` lies.
    untracked: Option<Range<usize>>,
}

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) path: &'a [u8],
    mode: &'a [u8],
    /// Its object id and flags.
    rest: &'a [u8],
}

/// Whether both indexes are the same: of the same length, and with the same hash.
///
/// # Errors
///
/// When one of them cannot be read.
pub(super) fn have_same_end(one: &Path, other: &Path) -> io::Result<bool> {
    let end = |path: &Path| -> io::Result<(u64, [u8; END])> {
        let file = File::open(path)?;
        let (length, mut end) = (file.metadata()?.len(), [0; END]);
        let offset = length.checked_sub(END_LENGTH);
        let offset = offset.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        file.read_exact_at(&mut end, offset)?;
        Ok((length, end))
    };
    let (one, other) = (end(one)?, end(other)?);
    // Without index.skipHash: there the hash is left out.
    Ok(one == other && one.1 != [0; END])
}

impl Index {
    /// Reads an index; `None` if it is of another kind or version, or damaged.
    ///
    /// # Errors
    ///
    /// Those of reading the file.
    pub(super) fn read(path: &Path, id_length: usize) -> io::Result<Option<Self>> {
        Ok(Self::parse(fs::read(path)?, id_length))
    }

    /// An index; `None` if it is of another kind or version, or damaged.
    pub(super) fn parse(bytes: Vec<u8>, id_length: usize) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let version = u32::from_be_bytes(header.get(4..8)?.try_into().ok()?);
        let count = u32::from_be_bytes(header.get(8..12)?.try_into().ok()?);
        if header.get(..4)? != b"DIRC" || !matches!(version, 2 | 3) {
            return None;
        }
        let mut index = Self {
            bytes,
            id_length,
            count,
            untracked: None,
        };
        let mut entries = index.entries();
        for _ in 0..count {
            entries.next()?;
        }
        let extensions = entries.at;
        index.find_untracked(extensions)?;
        Some(index)
    }

    /// Looks for `UNTR` among the extensions; `None` if the index is of another kind, or
    /// they do not end where it does.
    fn find_untracked(&mut self, mut at: usize) -> Option<()> {
        let end = self.bytes.len().checked_sub(self.id_length)?;
        while at < end {
            let signature = self.bytes.get(at..at.checked_add(4)?)?;
            let length = self.bytes.get(at.checked_add(4)?..at.checked_add(8)?)?;
            let length = u32::from_be_bytes(length.try_into().ok()?);
            let start = at.checked_add(8)?;
            at = start.checked_add(usize::try_from(length).ok()?)?;
            if OF_OTHER_KINDS.iter().any(|kind| *kind == signature) {
                return None;
            }
            if signature == b"UNTR" {
                self.untracked = Some(start..at);
            }
        }
        (at == end).then_some(())
    }

    /// All entries in order.
    pub(super) fn entries(&self) -> Entries<'_> {
        Entries {
            index: self,
            at: HEADER,
            left: self.count,
        }
    }

    /// The content of `UNTR` up to its directories' bitmaps, and the length of ids.
    pub(super) fn untracked(&self) -> Option<(&[u8], usize)> {
        let range = self.untracked.clone()?;
        Some((self.bytes.get(range)?, self.id_length))
    }
}

/// The entries of an index.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    index: &'a Index,
    at: usize,
    left: u32,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        self.left = self.left.checked_sub(1)?;
        let bytes = self.index.bytes.get(self.at..)?;
        let flags_at = BEFORE_ID + self.index.id_length;
        let flags = bytes.get(flags_at..flags_at + FLAGS)?;
        let flags = u16::from_be_bytes(flags.try_into().ok()?);
        let extended = if flags & EXTENDED == 0 { 0 } else { FLAGS };
        let name_at = flags_at + FLAGS + extended;
        let length = match flags & NAME_MASK {
            NAME_MASK => bytes.get(name_at..)?.iter().position(|byte| *byte == 0)?,
            length => usize::from(length),
        };
        let entry = Entry {
            path: bytes.get(name_at..name_at.checked_add(length)?)?,
            mode: bytes.get(MODE)?,
            rest: bytes.get(BEFORE_ID..name_at)?,
        };
        // One to eight NULs.
        self.at += (name_at + length + 8) / 8 * 8;
        Some(entry)
    }
}
