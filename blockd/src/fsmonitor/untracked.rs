//! What git remembers of untracked files (gitformat-index(5), "Untracked cache"): it
//! shows what it has found once without looking, unless it is told to.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path};

use super::answer::Answer;

/// The `stat` data of both files with patterns, and the flags.
const FIXED: usize = 2 * 36 + 4;

/// A path that has git list the directory that it would be in. It need not exist, but
/// git must take it for one of a work tree: `.` it passes over.
const IN_IT: &[u8] = b"a";

/// Adds the untracked files that are gone, and a path in each directory that is in
/// one of `replaced`; `None` if the extension is damaged.
pub(super) fn list(
    (content, id_length): (&[u8], usize),
    replaced: &[Vec<u8>],
    answer: &mut Answer,
) -> Option<()> {
    let mut rest = Bytes(content);
    let identity = rest.number()?;
    rest.skip(identity)?;
    rest.skip(FIXED + 2 * id_length)?;
    rest.text()?;
    if rest.0.is_empty() || rest.number()? == 0 {
        return Some(());
    }
    // The directories on the way down: how many are left in each, and the length of
    // its path.
    let (mut open, mut path) = (vec![(1_usize, 0_usize)], Vec::new());
    while let Some((left, length)) = open.last_mut() {
        path.truncate(*length);
        match left.checked_sub(1) {
            None => {
                open.pop();
                continue;
            }
            Some(fewer) => *left = fewer,
        }
        let below = directory(&mut rest, &mut path, (replaced, &mut *answer))?;
        open.push((below, path.len()));
    }
    Some(())
}

/// Reads one directory, whose parent has this path, and makes it its own; returns the
/// number of directories in it.
fn directory(
    rest: &mut Bytes<'_>,
    path: &mut Vec<u8>,
    (replaced, answer): (&[Vec<u8>], &mut Answer),
) -> Option<usize> {
    let (files, directories) = (rest.number()?, rest.number()?);
    let name = rest.text()?;
    path.extend_from_slice(name);
    if !name.is_empty() {
        path.push(b'/');
    }
    if replaced.iter().any(|above| is_in(path, above)) {
        answer.add(&[path, IN_IT].concat());
    }
    for _ in 0..files {
        let file = [path, rest.text()?].concat();
        let file = file.strip_suffix(b"/").unwrap_or(&file);
        if fs::symlink_metadata(Path::new(OsStr::from_bytes(file))).is_err() {
            answer.add(file);
        }
    }
    Some(directories)
}

/// Whether a path that ends with a slash is that of this directory, or in it.
fn is_in(path: &[u8], directory: &[u8]) -> bool {
    let rest = path.strip_prefix(directory);
    rest.is_some_and(|rest| rest.starts_with(b"/"))
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// A number, the most significant 7 bits first (git, `varint.c`).
    fn number(&mut self) -> Option<usize> {
        let mut byte = self.byte()?;
        let mut number = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.byte()?;
            number = number.checked_add(1)?.checked_mul(0x80)? | usize::from(byte & 0x7f);
        }
        Some(number)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.0 = self.0.get(length..)?;
        Some(())
    }

    /// What precedes the next NUL.
    fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.0.get(..end)?;
        self.0 = self.0.get(end + 1..)?;
        Some(text)
    }
}
