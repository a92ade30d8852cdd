//! Parsing tree objects.

#![warn(clippy::arithmetic_side_effects)]

use std::cmp::Ordering;

use gix::{
    bstr::{BStr, ByteSlice},
    hash, oid,
};

use super::{
    EntryMode,
    listing::{Builder, Entry, Listing},
};
use crate::error::{Error, Kind, Result};

/// The longest file name in bytes.
const NAME_LIMIT: usize = 255;

/// Parses the tree `id`. `size` returns the length of a blob in bytes.
///
/// # Errors
///
/// [`Kind::Corrupt`] for malformed bytes, entries out of order, and names that
/// git refuses to check out or a file system cannot hold; and the errors of
/// `size`. The message names the entry.
pub(super) fn parse(
    id: &oid,
    mut bytes: &[u8],
    mut size: impl FnMut(&oid) -> Result<u64>,
) -> Result<Listing> {
    let refused = |name: &BStr, reason: &str| {
        Error::new(
            Kind::Corrupt,
            format!("tree {id} has an entry {name:?} {reason}"),
        )
    };
    let mut listing = Builder::new(id.kind());
    while !bytes.is_empty() {
        let (mut entry, rest) = split_entry(bytes, id.kind()).ok_or_else(|| {
            Error::new(
                Kind::Corrupt,
                format!("tree {id} is truncated or has a malformed mode"),
            )
        })?;
        let name = entry.name.as_bstr();
        if let Some(reason) = refusal(entry.name, entry.mode) {
            return Err(refused(name, reason));
        }
        if let Some(reason) = listing.misplaced(&entry) {
            return Err(refused(name, reason));
        }
        if entry.mode.is_blob() {
            entry.size = size(entry.id).map_err(|error| error.within(name))?;
        }
        listing
            .push(entry)
            .ok_or_else(|| refused(name, "beyond 4 GiB of names"))?;
        bytes = rest;
    }
    Ok(listing.build())
}

/// The entry `name`, if the tree has it. Other entries are not checked.
pub(super) fn find<'a>(mut bytes: &'a [u8], format: hash::Kind, name: &[u8]) -> Option<Entry<'a>> {
    while let Some((entry, rest)) = split_entry(bytes, format) {
        if entry.name == name {
            return Some(entry);
        }
        bytes = rest;
    }
    None
}

/// The first entry, `<mode in octal> <name> NUL <id>`, and the bytes after it.
fn split_entry(bytes: &[u8], format: hash::Kind) -> Option<(Entry<'_>, &[u8])> {
    let (mode, rest) = bytes.split_once_str(b" ")?;
    let (name, rest) = rest.split_once_str(b"\0")?;
    let (id, rest) = rest.split_at_checked(format.len_in_bytes())?;
    let octal = !mode.is_empty() && mode.iter().all(|digit| matches!(digit, b'0'..=b'7'));
    let bits = u32::from_str_radix(mode.to_str().ok()?, 8).ok();
    let bits = bits.filter(|bits| octal && *bits <= 0o177_777)?;
    let (mode, id) = (EntryMode::from_bits(bits), oid::try_from_bytes(id).ok()?);
    Some((
        Entry {
            name,
            mode,
            id,
            size: 0,
        },
        rest,
    ))
}

/// Why git's `verify_path`, or any file system, does not accept a name.
fn refusal(name: &[u8], mode: EntryMode) -> Option<&'static str> {
    match name {
        b"" => Some("without a name"),
        b"." | b".." => Some("that names a directory itself"),
        name if name.eq_ignore_ascii_case(b".git") => Some("that git refuses to check out"),
        name if name.contains(&b'/') => Some("with a slash in its name"),
        name if name.len() > NAME_LIMIT => Some("with a name longer than 255 bytes"),
        name if mode == EntryMode::Symlink && name.eq_ignore_ascii_case(b".gitmodules") => {
            Some("that git refuses to check out as a symlink")
        }
        _ => None,
    }
}

impl Builder {
    /// Why the entry cannot come next in git's order, where a directory sorts
    /// as if its name ended in `/`.
    fn misplaced(&self, entry: &Entry<'_>) -> Option<&'static str> {
        let (last, mode) = self.last()?;
        match order((last, mode), (entry.name, entry.mode)) {
            Ordering::Equal => return Some("twice"),
            Ordering::Greater => return Some("in the wrong place"),
            Ordering::Less => {}
        }
        // A file and a directory of one name do not sort side by side; only
        // names that start with theirs lie between them.
        let directory = entry.mode == EntryMode::Directory;
        let twice = directory
            && self
                .names_backwards()
                .take_while(|before| before.starts_with(entry.name))
                .any(|before| before == entry.name);
        twice.then_some("twice")
    }
}

/// git's `base_name_compare`, except that equal names compare equal.
fn order(a: (&[u8], EntryMode), b: (&[u8], EntryMode)) -> Ordering {
    fn key((name, mode): (&[u8], EntryMode)) -> impl Iterator<Item = u8> + '_ {
        let slash = (mode == EntryMode::Directory).then_some(b'/');
        name.iter().copied().chain(slash)
    }
    let common = a.0.len().min(b.0.len());
    let ((a_start, a_end), (b_start, b_end)) = (a.0.split_at(common), b.0.split_at(common));
    match a_start.cmp(b_start) {
        Ordering::Equal if a.0.len() == b.0.len() => Ordering::Equal,
        Ordering::Equal => key((a_end, a.1)).cmp(key((b_end, b.1))),
        unequal => unequal,
    }
}
