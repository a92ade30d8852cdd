//! The extensions that are the same for every index of the same shape, and the
//! header that all of them have.

use gix::hash::Kind;

use super::bitmap;
use crate::{
    git::object_hash::ObjectHash,
    numbers::{exact, to_u64},
};

/// The length in bytes of the signature and size that an extension starts with.
pub(crate) const EXTENSION_HEADER: u64 = 8;

/// What a `core.fsmonitor` is asked about: what has changed since the image was
/// made. It is the same for ever, since what has changed is what the upper layer
/// has.
const TOKEN: &[u8] = b"blockd:1\0";

/// An extension's signature and the length of its content.
pub(crate) type Extension = ([u8; 4], u32);

/// The start of an extension.
pub(crate) fn header((signature, length): Extension) -> [u8; 8] {
    let mut header = [0; 8];
    let (first, second) = header.split_at_mut(4);
    first.copy_from_slice(&signature);
    second.copy_from_slice(&length.to_be_bytes());
    header
}

/// `IEOT`: the offset of each block of entries and their number, so that several
/// threads can read them.
pub(crate) fn entry_offsets(blocks: &[(u32, u32)]) -> Vec<u8> {
    let numbers = blocks.iter().flat_map(|(offset, count)| [*offset, *count]);
    let content: Vec<u8> = [1]
        .into_iter()
        .chain(numbers)
        .flat_map(u32::to_be_bytes)
        .collect();
    [
        &header((*b"IEOT", exact(content.len()))),
        content.as_slice(),
    ]
    .concat()
}

/// `FSMN`: no file has changed since [`TOKEN`].
pub(crate) fn monitor() -> Vec<u8> {
    let changed = bitmap::of(&[]);
    let length: u32 = exact(changed.len());
    let content = [
        2_u32.to_be_bytes().as_slice(),
        TOKEN,
        &length.to_be_bytes(),
        &changed,
    ]
    .concat();
    [
        &header((*b"FSMN", exact(content.len()))),
        content.as_slice(),
    ]
    .concat()
}

/// `EOIE`, the last one: where the entries end, and a hash over the headers of the
/// extensions in between.
pub(crate) fn end_of_entries(kind: Kind, end: u32, extensions: &[Extension]) -> Vec<u8> {
    let hash = ObjectHash::of_file(kind);
    let mut hash = hash.expect("objects of no other format were read");
    for extension in extensions {
        hash.update(&header(*extension));
    }
    let content = [&end.to_be_bytes(), hash.finish().as_bytes()].concat();
    [
        &header((*b"EOIE", exact(content.len()))),
        content.as_slice(),
    ]
    .concat()
}

/// The signature and length of an encoded extension.
pub(crate) fn of(encoded: &[u8]) -> Extension {
    let (signature, content) = encoded.split_first_chunk().expect("it has a header");
    (
        *signature,
        exact(to_u64(content.len() + 4) - EXTENSION_HEADER),
    )
}
