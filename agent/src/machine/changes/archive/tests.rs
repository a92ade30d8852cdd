//! Round trips, also with the `tar` command lines of the last release. They take
//! root, as a machine has it: device files and `trusted.*` attributes are root's.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::{
        fs::{FileExt, MetadataExt, lchown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lgetxattr, llistxattr,
    lsetxattr, makedev, mknodat, utimensat,
};
use tempfile::tempdir;

use super::{pack, unpack};

/// Of the sparse file: 4 GiB with three blocks of data.
const SPARSE: u64 = 4 << 30;
const BLOCK: [u8; 4096] = [7; 4096];

/// What a round trip must keep of a file.
#[derive(Debug, PartialEq, Eq)]
struct Kept {
    mode: u32,
    owner: (u32, u32),
    device: u64,
    size: u64,
    links: u64,
    modified: (i64, i64),
    attributes: BTreeMap<String, Vec<u8>>,
    target: Option<PathBuf>,
}

fn kept(path: &Path) -> Kept {
    let metadata = path.symlink_metadata().unwrap();
    Kept {
        mode: metadata.mode(),
        owner: (metadata.uid(), metadata.gid()),
        device: metadata.rdev(),
        size: if metadata.is_dir() {
            0
        } else {
            metadata.size()
        },
        links: metadata.nlink(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        attributes: attributes(path),
        target: fs::read_link(path).ok(),
    }
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    names
        .map(|name| {
            let name = String::from_utf8(name.to_vec()).unwrap();
            let mut value = vec![0; 1 << 16];
            let length = lgetxattr(path, &name, &mut value[..]).unwrap();
            value.truncate(length);
            (name, value)
        })
        .collect()
}

/// All files below, by their paths.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Kept> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                folders.push(path.clone());
            }
            found.insert(path.strip_prefix(folder).unwrap().to_owned(), kept(&path));
        }
    }
    found
}

/// What an upper layer may hold.
fn upper(folder: &Path) {
    let at = |name: &str| folder.join(name);
    let sparse = File::create(at("sparse")).unwrap();
    sparse.set_len(SPARSE).unwrap();
    for offset in [0, SPARSE / 2, SPARSE - 4096] {
        sparse.write_all_at(&BLOCK, offset).unwrap();
    }
    File::create(at("hole")).unwrap().set_len(SPARSE).unwrap();
    fs::write(at("full"), vec![5; 100_000]).unwrap();
    fs::hard_link(at("full"), at("linked")).unwrap();
    symlink("nowhere", at("symlink")).unwrap();
    let make = |name: &str, kind, device| {
        mknodat(CWD, at(name), kind, Mode::from_raw_mode(0o600), device).unwrap();
    };
    make("whiteout", FileType::CharacterDevice, makedev(0, 0));
    make("fifo", FileType::Fifo, 0);
    let deep = at("opaque").join("d".repeat(200)).join("e".repeat(200));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("f".repeat(255)), "deep").unwrap();
    fs::write(at("line\nbreak \u{e9}"), "named").unwrap();
    let set = |name: &str, attribute: &str, value: &[u8]| {
        lsetxattr(at(name), attribute, value, XattrFlags::empty()).unwrap();
    };
    set("opaque", "trusted.overlay.opaque", b"y");
    set("full", "trusted.overlay.redirect", b"/was/here");
    set("full", "trusted.overlay.origin", &[0, 0xfb, 0x1d, 0, 1, 2]);
    set("full", "user.mine", b"");
    lchown(at("full"), Some(1234), Some(4321)).unwrap();
    for (name, seconds) in [("full", 1_000_000_000), ("symlink", 5), ("opaque", -7)] {
        let time = Timespec {
            tv_sec: seconds,
            tv_nsec: 123_456_789,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, at(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// `tar` as 0.1.0 runs it.
fn tar_of_0_1_0(operation: &str, folder: &Path, archive: &Path, members: &[&str]) {
    let mut tar = Command::new("tar");
    tar.args([operation, "--gzip", "--one-file-system", "--numeric-owner"]);
    tar.args(["--xattrs", "--xattrs-include=*", "--file"]);
    tar.arg(archive).arg("--directory").arg(folder);
    let output = tar.args(members).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
}

/// Bytes that a file takes of the disk.
fn disk(path: &Path) -> u64 {
    path.metadata().unwrap().blocks() * 512
}

#[tokio::test]
async fn changes_are_the_same_after_a_round_trip_and_holes_stay_holes() {
    let (from, to, other) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    upper(from.path());
    let archive = other.path().join("archive");
    pack(from.path(), &archive).await.unwrap();
    let packed = disk(&archive);
    assert!(packed < 1 << 16, "the archive has {packed} bytes");
    unpack(&archive, to.path()).await.unwrap();
    assert_eq!(tree(from.path()), tree(to.path()));
    for name in ["sparse", "hole"] {
        let taken = disk(&to.path().join(name));
        assert!(taken < 1 << 20, "{name} takes {taken} bytes of the disk");
    }
    let sparse = File::open(to.path().join("sparse")).unwrap();
    for (offset, expected) in [(0, 7), (4096, 0), (SPARSE / 2, 7), (SPARSE - 1, 7)] {
        let mut byte = [9];
        sparse.read_exact_at(&mut byte, offset).unwrap();
        assert_eq!(byte, [expected], "at {offset}");
    }
    let linked = [to.path().join("full"), to.path().join("linked")];
    let [full, linked] = linked.map(|path| path.metadata().unwrap().ino());
    assert_eq!(full, linked, "two names of one file");
}

#[tokio::test]
async fn the_last_release_unpacks_an_archive_of_this_one() {
    let (from, to, other) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    upper(from.path());
    let archive = other.path().join("archive");
    pack(from.path(), &archive).await.unwrap();
    tar_of_0_1_0("--extract", to.path(), &archive, &[]);
    assert_eq!(tree(from.path()), tree(to.path()));
}

#[tokio::test]
async fn an_archive_of_the_last_release_is_unpacked() {
    let (from, to, other) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    upper(from.path());
    // It reads and stores every hole.
    for name in ["sparse", "hole"] {
        fs::remove_file(from.path().join(name)).unwrap();
    }
    let archive = other.path().join("archive");
    tar_of_0_1_0("--create", from.path(), &archive, &["."]);
    unpack(&archive, to.path()).await.unwrap();
    assert_eq!(tree(from.path()), tree(to.path()));
}

#[tokio::test]
async fn a_socket_is_left_out_and_keeps_nothing_else_out() {
    let (from, to, other) = (tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap());
    let listener = UnixListener::bind(from.path().join("socket")).unwrap();
    fs::write(from.path().join("file"), "file").unwrap();
    let archive = other.path().join("archive");
    pack(from.path(), &archive).await.unwrap();
    drop(listener);
    unpack(&archive, to.path()).await.unwrap();
    assert_eq!(fs::read(to.path().join("file")).unwrap(), b"file");
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_damaged_archive_is_an_error_that_tar_explains() {
    let folder = tempdir().unwrap();
    let archive = folder.path().join("archive");
    fs::write(&archive, "not an archive").unwrap();
    let error = unpack(&archive, folder.path()).await.unwrap_err();
    let message = error.to_string();
    assert!(message.contains("tar --extract failed"), "{message}");
}
