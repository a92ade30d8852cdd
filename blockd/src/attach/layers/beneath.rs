//! Files below a directory that others write to: no link is followed, no mount is
//! entered, and no tree is too deep.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2,
        statat,
    },
    io::Errno,
    path::Arg,
};

/// What a path may not lead through.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// How many directories are open at a time. Those further down are left by `..`.
const MAX_OPEN: usize = 64;

/// Opens a directory of blockd's own; `None` when there is none.
///
/// # Errors
///
/// Those of open(2), but for ENOENT.
pub(crate) fn open_root(path: &Path) -> io::Result<Option<OwnedFd>> {
    match openat(CWD, path, DIRECTORY, Mode::empty()) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory below another; `None` when there is none, or it could be reached
/// by a link or through a mount only.
///
/// # Errors
///
/// Those of openat2(2).
pub(crate) fn open_directory(root: impl AsFd, path: impl Arg) -> io::Result<Option<OwnedFd>> {
    match openat2(root, path, DIRECTORY, Mode::empty(), RESOLVE) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// An entry that is visited.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// The directory that it is in.
    pub(crate) directory: BorrowedFd<'a>,
    pub(crate) name: &'a CStr,
    pub(crate) is_directory: bool,
    /// The directories above it, from the root down.
    above: &'a [Level],
}

impl Entry<'_> {
    /// What lstat(2) says of it.
    ///
    /// # Errors
    ///
    /// Those of fstatat(2).
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Ok(statat(
            self.directory,
            self.name,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// The path below the root, in bytes.
    pub(crate) fn path(&self) -> Vec<u8> {
        let names = self.above.iter().skip(1).map(|level| level.name.as_bytes());
        let names: Vec<_> = names.chain([self.name.to_bytes()]).collect();
        names.join(&b'/')
    }
}

/// What is done after a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// What is below a directory is visited too.
    GoOn,
    /// Nothing more is visited.
    Stop,
}

/// A directory on the way down.
#[derive(Debug)]
struct Level {
    name: CString,
    /// Closed, where too many would be open.
    open: Option<OwnedFd>,
    /// Its device and inode.
    id: (u64, u64),
    /// The directories in it that are not visited yet.
    left: Vec<CString>,
}

/// Visits all entries below a directory, each directory after those beside it. What
/// is removed meanwhile is visited or not.
///
/// It takes memory for the names on the way down and for those of directories beside
/// them, and a bounded number of descriptors.
///
/// # Errors
///
/// Those of openat2(2), getdents(2) and of `visit`; and when a directory deep in the
/// tree was moved meanwhile.
pub(crate) fn walk(
    root: OwnedFd,
    mut visit: impl FnMut(&Entry<'_>) -> io::Result<Next>,
) -> io::Result<()> {
    let mut above = Vec::new();
    if enter(&mut above, c"", root, &mut visit)? == Next::Stop {
        return Ok(());
    }
    while let Some(level) = above.last_mut() {
        let Some(name) = level.left.pop() else {
            leave(&mut above)?;
            continue;
        };
        let here = level.open.as_ref().expect("the last one is open");
        let Some(child) = open_directory(here, name.as_c_str())? else {
            continue;
        };
        if above.len() >= MAX_OPEN {
            let last = above.last_mut().expect("it has one");
            last.open = None;
        }
        if enter(&mut above, &name, child, &mut visit)? == Next::Stop {
            return Ok(());
        }
    }
    Ok(())
}

/// Visits the entries of a directory, which becomes the last one.
fn enter(
    above: &mut Vec<Level>,
    name: &CStr,
    directory: OwnedFd,
    visit: &mut impl FnMut(&Entry<'_>) -> io::Result<Next>,
) -> io::Result<Next> {
    let mut left = Vec::new();
    let entries = Dir::read_from(&directory)?;
    above.push(Level {
        name: name.to_owned(),
        id: id(&directory)?,
        open: Some(directory),
        left: Vec::new(),
    });
    let directory = above.last().and_then(|level| level.open.as_ref());
    let directory = directory.expect("it was just entered").as_fd();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let is_directory = match entry.file_type() {
            FileType::Unknown => {
                let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(found.st_mode) == FileType::Directory
            }
            kind => kind == FileType::Directory,
        };
        let visited = Entry {
            directory,
            name,
            is_directory,
            above,
        };
        if visit(&visited)? == Next::Stop {
            return Ok(Next::Stop);
        }
        if is_directory {
            left.push(name.to_owned());
        }
    }
    above.last_mut().expect("it was just entered").left = left;
    Ok(Next::GoOn)
}

/// Goes up from the last directory.
fn leave(above: &mut Vec<Level>) -> io::Result<()> {
    let left = above.pop().expect("a directory is left once");
    let Some(parent) = above.last_mut().filter(|parent| parent.open.is_none()) else {
        return Ok(());
    };
    let child = left.open.expect("the last one is open");
    let directory = openat(&child, c"..", DIRECTORY, Mode::empty())?;
    if id(&directory)? != parent.id {
        return Err(io::Error::other(
            "a directory was moved while it was looked into: try again",
        ));
    }
    parent.open = Some(directory);
    Ok(())
}

fn id(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let found = fstat(directory)?;
    Ok((found.st_dev, found.st_ino))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{fs, os::unix::fs::symlink};

    use rustix::fs::mkdirat;

    use super::*;
    use crate::attach::layers::discarded::tests::remove_tree;

    /// Makes directories `d`, each in the one before it.
    pub(crate) fn make_chain(top: &Path, depth: u32) {
        let mut here = open_root(top).unwrap().unwrap();
        for _ in 0..depth {
            mkdirat(&here, c"d", Mode::RWXU).unwrap();
            here = openat(&here, c"d", DIRECTORY, Mode::empty()).unwrap();
        }
    }

    fn paths(top: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let root = open_root(top).unwrap().unwrap();
        walk(root, |entry| {
            found.push(String::from_utf8(entry.path()).unwrap());
            Ok(Next::GoOn)
        })
        .unwrap();
        found.sort();
        found
    }

    #[test]
    fn links_are_seen_and_not_followed() {
        let top = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "").unwrap();
        fs::create_dir_all(top.path().join("a/b")).unwrap();
        fs::write(top.path().join("a/b/file"), "").unwrap();
        symlink(outside.path(), top.path().join("a/link")).unwrap();
        assert_eq!(paths(top.path()), ["a", "a/b", "a/b/file", "a/link"]);
        let root = open_root(top.path()).unwrap().unwrap();
        for path in ["a/link", "a/link/x", "a/b/file", "missing"] {
            assert!(open_directory(&root, path).unwrap().is_none(), "{path}");
        }
        assert!(open_directory(&root, "a/b").unwrap().is_some());
        assert!(open_directory(&root, "..").unwrap().is_none());
    }

    #[test]
    fn a_tree_is_walked_however_deep_it_is() {
        let top = tempfile::tempdir().unwrap();
        make_chain(top.path(), 2000);
        fs::create_dir(top.path().join("d/d/beside")).unwrap();
        let mut count = 0;
        walk(open_root(top.path()).unwrap().unwrap(), |_| {
            count += 1;
            Ok(Next::GoOn)
        })
        .unwrap();
        assert_eq!(count, 2001);
        // std would need a descriptor for each level.
        remove_tree(top.path());
    }
}
