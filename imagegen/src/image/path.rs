//! The path of the current directory of a walk.

use gix::bstr::{BStr, BString, ByteSlice};

use crate::{
    Error, Kind, Result,
    git::{EntryMode, Listing},
};

/// The length of a path in bytes, from which on git cannot check it out
/// (`PATH_MAX`).
pub(super) const PATH_MAX: usize = 4096;
/// The longest file name in bytes.
const NAME_MAX: usize = 255;

/// The path of the directory being visited.
#[derive(Debug, Default)]
pub(super) struct Path {
    bytes: Vec<u8>,
    /// The length of the path of each parent directory, the root first, and of
    /// the directory itself.
    ends: Vec<usize>,
}

impl Path {
    /// Enters the directory `name` at `depth`, in the directory that was
    /// entered last at the depth above.
    pub(super) fn enter(&mut self, depth: usize, name: &[u8]) -> Result<()> {
        self.ends.truncate(depth);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        check(self.as_bstr(), name)?;
        push(&mut self.bytes, name);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    pub(super) fn as_bstr(&self) -> &BStr {
        self.bytes.as_bstr()
    }
}

/// The path of `name` in `dir`.
pub(super) fn join(dir: &BStr, name: &[u8]) -> BString {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    push(&mut path, name);
    path.into()
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// Checks that git can check out all entries of `dir`. (Their names alone are
/// checked already.)
pub(super) fn check_names(dir: &BStr, listing: &Listing) -> Result<()> {
    check_links(dir, listing)?;
    if dir.len() + 1 + NAME_MAX < PATH_MAX {
        return Ok(());
    }
    listing.iter().try_for_each(|entry| check(dir, entry.name))
}

/// git refuses a symlink below a directory of this name, too (`verify_dotfile`).
fn check_links(dir: &BStr, listing: &Listing) -> Result<()> {
    let gitmodules = |part: &[u8]| part.eq_ignore_ascii_case(b".gitmodules");
    if !dir.split_str("/").any(gitmodules) {
        return Ok(());
    }
    let mut links = listing
        .iter()
        .filter(|entry| entry.mode == EntryMode::Symlink);
    links.next().map_or(Ok(()), |link| {
        let path = join(dir, link.name);
        let message = format!("{path}: git refuses to check out a symlink below .gitmodules");
        Err(Error::new(Kind::Corrupt, message))
    })
}

fn check(dir: &BStr, name: &[u8]) -> Result<()> {
    let length = dir.len() + 1 + name.len();
    if length < PATH_MAX {
        return Ok(());
    }
    let start = dir[..dir.len().min(80)].as_bstr();
    let message = format!("{start}…: a path of {length} bytes; git checks out at most 4095");
    Err(Error::new(Kind::Unsupported, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_follows_the_walk() {
        let mut path = Path::default();
        let mut seen = Vec::new();
        for (depth, name) in [
            (0, ""),
            (1, "a"),
            (2, "b"),
            (3, "c"),
            (2, "d"),
            (1, "e"),
            (2, "f"),
        ] {
            path.enter(depth, name.as_bytes()).unwrap();
            seen.push(path.as_bstr().to_string());
        }
        assert_eq!(seen, ["", "a", "a/b", "a/b/c", "a/d", "e", "e/f"]);
        assert_eq!(join(path.as_bstr(), b"g"), "e/f/g");
        assert_eq!(join(b"".as_bstr(), b"g"), "g");
    }
}
