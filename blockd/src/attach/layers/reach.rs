//! Who may reach a path in the state directory, which is root's alone: the owner of
//! a work tree's files is let through to the layers they lie in (acl(5)).

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use rustix::{
    fs::{XattrFlags, getxattr, setxattr},
    io::Errno,
};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
};

/// The attribute that holds an access control list (`linux/posix_acl_xattr.h`).
const ATTRIBUTE: &str = "system.posix_acl_access";
const VERSION: U32 = U32::new(2);
const NOBODY: U32 = U32::new(u32::MAX);
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// To pass through a directory, or to run a file.
const EXECUTE: u16 = 1;
/// More entries than this are not ours.
const MAX_LENGTH: usize = 4096;

/// An entry of a list.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Entry {
    tag: U16,
    permissions: U16,
    id: U32,
}

impl Entry {
    fn new(tag: u16, permissions: u32, id: U32) -> Self {
        let permissions = u16::try_from(permissions & 7).expect("three bits");
        Self {
            tag: tag.into(),
            permissions: permissions.into(),
            id,
        }
    }

    fn allows(self, bits: u16) -> bool {
        self.permissions.get() & bits == bits
    }
}

/// Lets this user (and group) pass through directories. Root passes anyhow.
///
/// # Errors
///
/// When a list cannot be read or written, as where the file system has none.
pub(crate) fn admit(directories: &[&Path], (user, _): (u32, u32)) -> io::Result<()> {
    if user == 0 {
        return Ok(());
    }
    for directory in directories {
        let list = list(directory)?;
        if is_admitted(&list, user) {
            continue;
        }
        let mut list: Vec<Entry> = list
            .into_iter()
            .filter(|entry| entry.tag.get() != MASK)
            .filter(|entry| entry.tag.get() != USER || entry.id.get() != user)
            .collect();
        list.push(Entry::new(USER, EXECUTE.into(), user.into()));
        let limited = list
            .iter()
            .filter(|entry| matches!(entry.tag.get(), USER | GROUP_OBJ | GROUP));
        let most = limited.fold(0, |most, entry| most | u32::from(entry.permissions.get()));
        list.push(Entry::new(MASK, most, NOBODY));
        list.sort_by_key(|entry| (entry.tag.get(), entry.id.get()));
        let value = [VERSION.as_bytes(), list.as_bytes()].concat();
        setxattr(*directory, ATTRIBUTE, &value, XattrFlags::empty())?;
    }
    Ok(())
}

/// The list of a directory; without one, what its mode says.
fn list(directory: &Path) -> io::Result<Vec<Entry>> {
    let mut value = vec![0; MAX_LENGTH];
    let length = match getxattr(directory, ATTRIBUTE, &mut value[..]) {
        Ok(length) => length,
        Err(Errno::NODATA | Errno::OPNOTSUPP) => {
            let mode = fs::metadata(directory)?.mode();
            return Ok(vec![
                Entry::new(USER_OBJ, mode >> 6, NOBODY),
                Entry::new(GROUP_OBJ, mode >> 3, NOBODY),
                Entry::new(OTHER, mode, NOBODY),
            ]);
        }
        Err(error) => return Err(error.into()),
    };
    value.truncate(length);
    let entries = value.strip_prefix(VERSION.as_bytes());
    let entries = entries.and_then(|bytes| <[Entry]>::ref_from_bytes(bytes).ok());
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "an unknown access control list");
    Ok(entries.ok_or_else(damaged)?.to_vec())
}

fn is_admitted(list: &[Entry], user: u32) -> bool {
    let has = |tag, is_own: fn(U32, u32) -> bool| {
        let mut own = list.iter().filter(|entry| entry.tag.get() == tag);
        own.any(|entry| is_own(entry.id, user) && entry.allows(EXECUTE))
    };
    has(USER, |id, user| id.get() == user) && has(MASK, |_, _| true)
}

/// Whether this user and group can pass all directories above a path, and the path
/// itself where it is one, or run the program there.
pub(crate) fn is_open(path: &Path, owner: (u32, u32)) -> bool {
    path.ancestors().all(|path| is_passable(path, owner))
}

fn is_passable(path: &Path, (user, group): (u32, u32)) -> bool {
    let Ok(found) = fs::metadata(path) else {
        return false;
    };
    let shift = if found.uid() == user {
        6
    } else if found.gid() == group {
        3
    } else {
        0
    };
    let by_mode = found.mode() >> shift & u32::from(EXECUTE) != 0;
    user == 0 || by_mode || list(path).is_ok_and(|list| is_admitted(&list, user))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_user_is_let_through_and_others_are_not() {
        let top = tempfile::tempdir().unwrap();
        let (outer, inner) = (top.path().join("a"), top.path().join("a/b"));
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for directory in [&outer, &inner] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let (one, other) = ((4001, 4001), (4002, 4002));
        assert!(!is_open(&inner, one));
        for owner in [one, other, one] {
            admit(&[&outer], owner).unwrap();
        }
        assert!(is_open(&outer, one) && is_open(&outer, other) && !is_open(&inner, one));
        admit(&[&inner], one).unwrap();
        assert!(is_open(&inner, one) && !is_open(&inner, other));
        assert_eq!(fs::metadata(&inner).unwrap().mode() & 0o7777, 0o710);
        assert!(is_open(&inner, (0, 0)));
    }
}
