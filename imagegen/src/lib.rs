//! Any commit of a git repository as an ext4 disk, generated when it is read.
//!
//! An [`Image`](image::Image) is the disk of one commit: a file system with the
//! files that `git checkout` would write, and a `.git` with the history of the
//! repository. No file is written for it. Opening an image reads the trees of
//! the commit and computes where everything lies; each block is generated from
//! the repository when it is read.
//!
//! Whoever has a block device to fill can serve an image: `blockd` exports
//! images over NBD.
//!
//! # How to use it
//!
//! ```text
//! Repository::open ─► resolve ──────────► the id of a commit
//! Cache::new                              memory shared by all images
//! SnapshotStore::open ─► take ──────────► Snapshot: the packs and refs for `.git`
//! Image::open(Origin, commit, Options) ─► Image
//! Image::{size, allocated, read_at} ────► the bytes of the disk
//! ```
//!
//! 1. [`Repository::open`](git::Repository::open) opens a repository, and
//!    [`resolve`](git::Repository::resolve) turns a revision into the id of a
//!    commit.
//! 2. [`SnapshotStore::take`](git::SnapshotStore::take) takes a snapshot of the
//!    repository: hard links, in a directory of the caller's, to the packs and
//!    loose objects that the image shows in `.git`. A repack or gc of the
//!    repository does not affect it. An image without `.git` can do without
//!    ([`Origin::Objects`](image::Origin::Objects)).
//! 3. [`Image::open`](image::Image::open) plans the image, and
//!    [`Image::read_at`](image::Image::read_at) reads from it, from any number
//!    of threads at once. Blobs that were read are cached in a
//!    [`Cache`](git::Cache), which all images share.
//!
//! The same commit, [`Options`](image::Options) and snapshot always give the
//! same bytes, so long as [`LAYOUT_VERSION`](image::LAYOUT_VERSION) does not
//! change. Images are therefore cacheable, and several servers can serve the
//! same one.
//!
//! # Example
//!
//! ```
//! use imagegen::{
//!     git::{Cache, Repository, SnapshotStore},
//!     image::{Image, Options, Origin},
//! };
//! use std::{error::Error, fs, process::Command};
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     // A repository with one commit.
//!     let directory = tempfile::tempdir()?;
//!     let path = directory.path().join("repo");
//!     fs::create_dir(&path)?;
//!     fs::write(path.join("hello.txt"), "hello, disk\n")?;
//!     for arguments in [
//!         &["init", "-q"][..],
//!         &["add", "."],
//!         &["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "one"],
//!     ] {
//!         let git = Command::new("git").current_dir(&path).args(arguments).status()?;
//!         assert!(git.success());
//!     }
//!
//!     // 64 MiB of memory, and a directory for snapshots and large blobs.
//!     let state = directory.path().join("state");
//!     let store = SnapshotStore::open(&state)?;
//!     let cache = Cache::new(64 << 20, &state);
//!
//!     let repository = Repository::open(&path)?;
//!     let commit = repository.resolve("HEAD")?.commit;
//!     let snapshot = store.take(&repository, commit, &cache)?;
//!     let image = Image::open(Origin::Snapshot(snapshot), commit, &Options::default())?;
//!
//!     // The magic number of ext4, 56 bytes into the superblock at byte 1024.
//!     let mut magic = [0; 2];
//!     image.read_at(1024 + 56, &mut magic)?;
//!     assert_eq!(magic, [0x53, 0xef]);
//!
//!     // The file lies at the beginning of a block.
//!     let mut block = [0; 4096];
//!     let mut found = false;
//!     for offset in (0..image.size()).step_by(block.len()) {
//!         image.read_at(offset, &mut block)?;
//!         found |= block.starts_with(b"hello, disk\n");
//!     }
//!     assert!(found);
//!     Ok(())
//! }
//! ```
//!
//! # Errors
//!
//! Every fallible function returns an [`Error`]. Its [`Kind`] is for decisions:
//!
//! | kind | meaning | what to do |
//! |---|---|---|
//! | [`NotFound`](Kind::NotFound) | a repository, revision, path or object does not exist | report it to the user |
//! | [`Invalid`](Kind::Invalid) | an argument is malformed or out of range | correct the request |
//! | [`Unsupported`](Kind::Unsupported) | a format or an extension is not supported, or a limit exceeded | none with this version |
//! | [`Corrupt`](Kind::Corrupt) | the repository or the state directory is damaged | repair it: `git fsck` |
//! | [`Io`](Kind::Io) | the operating system failed | try again |
//!
//! `Display` writes a message with the path, object or offset concerned.
//!
//! A read returns the right bytes or an error, never other bytes: blobs and
//! trees are verified against their object ids. An image that is damaged in
//! memory makes reads panic, for the same reason.
//!
//! # Limits
//!
//! What exceeds one of these is [`Kind::Unsupported`]:
//!
//! - a disk of 16 TiB, and a file of 170 GiB;
//! - 32 million files and 4 million directories per image;
//! - paths of 4095 bytes, and symlinks to 1 to 4095 bytes, as in git;
//! - commits and trees of 64 MiB, and blobs that fit into the spool of the
//!   [`Cache`](git::Cache);
//! - refs in files (not reftable), and repository formats 0 and 1.
//!
//! Only Linux on 64-bit machines is supported, with glibc and its gconv modules:
//! files with a `working-tree-encoding` are encoded by its iconv, as in git.

mod error;
mod ext4;
pub mod git;
pub mod image;
mod numbers;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

pub use error::{Error, Kind, Result};
