//! Parsing tree objects.

#![warn(clippy::arithmetic_side_effects)]

use std::{cmp::Ordering, collections::HashMap, iter};

use gix::{
    ObjectId,
    bstr::{BStr, ByteSlice},
    hash, oid,
};

use super::{
    EntryMode,
    listing::{Builder, Entry, Listing},
    tree_names::refusal,
};
use crate::error::{Error, Kind, Result};

/// Parses the tree `id`. `size` returns the length of a blob in bytes.
///
/// Entries out of order, several of one name, and empty directories are what git
/// makes of them when it checks the tree out: see [`normalized`].
///
/// # Errors
///
/// [`Kind::Corrupt`] for malformed bytes, and names that git refuses to check
/// out or a file system cannot hold; [`Kind::Unsupported`] for two directories
/// of one name; and the errors of `size`. The message names the entry.
pub(super) fn parse(
    id: &oid,
    bytes: &[u8],
    mut size: impl FnMut(&oid) -> Result<u64>,
) -> Result<Listing> {
    let mut listing = Builder::new(id.kind());
    for entry in entries(id, bytes) {
        let entry = entry?;
        if is_empty(&entry) || listing.misplaced(&entry) {
            return parse_normalized(id, bytes, size);
        }
        push(id, &mut listing, entry, &mut size)?;
    }
    Ok(listing.build(true))
}

fn parse_normalized(
    id: &oid,
    bytes: &[u8],
    mut size: impl FnMut(&oid) -> Result<u64>,
) -> Result<Listing> {
    let mut listing = Builder::new(id.kind());
    for entry in normalized(id, bytes)? {
        push(id, &mut listing, entry, &mut size)?;
    }
    Ok(listing.build(false))
}

fn push(
    id: &oid,
    listing: &mut Builder,
    mut entry: Entry<'_>,
    size: &mut impl FnMut(&oid) -> Result<u64>,
) -> Result<()> {
    let name = entry.name.as_bstr();
    if entry.mode.is_blob() {
        entry.size = size(entry.id).map_err(|error| error.within(name))?;
    }
    listing
        .push(entry)
        .ok_or_else(|| refused(id, name, "beyond 4 GiB of names"))
}

fn refused(id: &oid, name: &BStr, reason: &str) -> Error {
    let message = format!("tree {id} has an entry {name:?} {reason}");
    Error::new(Kind::Corrupt, message)
}

/// The entries of a tree in its own order, with their names checked.
fn entries<'a>(id: &'a oid, mut bytes: &'a [u8]) -> impl Iterator<Item = Result<Entry<'a>>> {
    iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let Some((entry, rest)) = split_entry(bytes, id.kind()) else {
            bytes = b"";
            let message = format!("tree {id} is truncated or has a malformed mode");
            return Some(Err(Error::new(Kind::Corrupt, message)));
        };
        bytes = rest;
        Some(match refusal(entry.name, entry.mode) {
            Some(reason) => Err(refused(id, entry.name.as_bstr(), reason)),
            None => Ok(entry),
        })
    })
}

/// The entries of a tree in git's order, one of each name: git adds all of them
/// to its index, one after the other, where a later one takes the place of those
/// that cannot be beside it. An empty directory adds nothing.
///
/// # Errors
///
/// As [`parse`]. git shows two directories of one name as one with the entries
/// of both, which is not supported.
fn normalized<'a>(id: &'a oid, bytes: &'a [u8]) -> Result<Vec<Entry<'a>>> {
    let mut last: HashMap<&[u8], Entry<'a>> = HashMap::new();
    for entry in entries(id, bytes) {
        let entry = entry?;
        if is_empty(&entry) {
            continue;
        }
        let two = last.get(entry.name).is_some_and(|before| {
            is_directory(before) && is_directory(&entry) && before.id != entry.id
        });
        if two {
            let name = entry.name.as_bstr();
            let message = format!(
                "tree {id} has two directories {name:?}, which git shows as one; that is not \
                 supported"
            );
            return Err(Error::new(Kind::Unsupported, message));
        }
        last.insert(entry.name, entry);
    }
    let mut entries: Vec<_> = last.into_values().collect();
    entries.sort_unstable_by(|a, b| order((a.name, a.mode), (b.name, b.mode)));
    Ok(entries)
}

fn is_empty(entry: &Entry<'_>) -> bool {
    is_directory(entry) && *entry.id == *ObjectId::empty_tree(entry.id.kind())
}

fn is_directory(entry: &Entry<'_>) -> bool {
    entry.mode == EntryMode::Directory
}

/// The entry `name`, if the tree has it; of several, the last one. Other entries
/// are not checked.
pub(super) fn find<'a>(mut bytes: &'a [u8], format: hash::Kind, name: &[u8]) -> Option<Entry<'a>> {
    let mut found = None;
    while let Some((entry, rest)) = split_entry(bytes, format) {
        if entry.name == name {
            found = Some(entry);
        }
        bytes = rest;
    }
    found
}

/// The first entry, `<mode in octal> <name> NUL <id>`, and the bytes after it.
fn split_entry(bytes: &[u8], format: hash::Kind) -> Option<(Entry<'_>, &[u8])> {
    let (mode, rest) = bytes.split_once_str(b" ")?;
    let (name, rest) = rest.split_once_str(b"\0")?;
    let (id, rest) = rest.split_at_checked(format.len_in_bytes())?;
    let (mode, id) = (parse_mode(mode)?, oid::try_from_bytes(id).ok()?);
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

/// A mode in octal digits, of which git takes the last bits (`get_mode`).
fn parse_mode(digits: &[u8]) -> Option<EntryMode> {
    let digit = |bits: u32, digit: &u8| match digit {
        b'0'..=b'7' => Some(bits << 3 | u32::from(digit & 7)),
        _ => None,
    };
    let bits = digits.iter().try_fold(0, digit)?;
    (!digits.is_empty()).then(|| EntryMode::from_bits(bits))
}

impl Builder {
    /// Whether the entry cannot come next in git's order, where a directory
    /// sorts as if its name ended in `/`, or is there already.
    fn misplaced(&self, entry: &Entry<'_>) -> bool {
        let Some((last, mode)) = self.last() else {
            return false;
        };
        if order((last, mode), (entry.name, entry.mode)) != Ordering::Less {
            return true;
        }
        // A file and a directory of one name do not sort side by side; only
        // names that start with theirs lie between them.
        is_directory(entry)
            && self
                .names_backwards()
                .take_while(|before| before.starts_with(entry.name))
                .any(|before| before == entry.name)
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
