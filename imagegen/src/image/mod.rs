//! A commit as an ext4 disk: where [`git`](crate::git) and
//! `ext4` meet.
//!
//! ```text
//! open ─► walk (trees, sizes) ─► Plan ─┐
//!                                      ▼
//! read_at ─► extent_map ─┬─ Zero       zeroes
//!                        ├─ Metadata ─► synth ─► ext4/
//!                        └─ File ─────► contents ─► git/
//! ```
//!
//! [`Image::open`] walks the trees of the commit once and numbers inodes and
//! blocks. After that every block is generated when it is read.

mod allowance;
mod contents;
mod converted;
mod dir_layout;
mod dirs;
mod dot_git;
mod extent_map;
mod file_time;
mod folder;
mod ignores;
mod index;
mod notices;
mod open;
mod options;
mod path;
mod plan;
mod stamp;
mod synth;
#[cfg(test)]
mod tests;
mod tree_counts;
mod walk;

use std::sync::{Arc, OnceLock};

use gix::ObjectId;

pub use self::{
    allowance::{Allowance, Unlimited},
    contents::Origin,
    file_time::FileTime,
    options::{History, Options},
};
use crate::{
    Error, Kind, Result,
    ext4::{BLOCK_SIZE, BlockNr, Checksum, Identity, recognize},
    image::{
        contents::{ReadMode, Reader},
        extent_map::Source,
        plan::Plan,
        stamp::Stamp,
        synth::Synth,
    },
    numbers::{to_u64, to_usize},
};
pub use crate::{ext4::Use, git::dotgit::index::Version as IndexVersion};

/// Incremented whenever a byte of any image changes for the same commit,
/// options and snapshot.
pub const LAYOUT_VERSION: u32 = 4;

/// Checks that the first 4096 bytes of a disk of `size` bytes are those of an image, as
/// this release and the last make them: exactly these features of ext4, these sizes,
/// no encryption, quota or orphans, no mount options of its own, a checksum that is
/// right. What else is on the disk is not looked at.
///
/// # Errors
///
/// Which field is not as in an image; follows the name of the disk.
pub fn check_first_block(
    block: &[u8; 4096],
    size: u64,
    since: Use,
) -> std::result::Result<(), String> {
    recognize(block, size, since)
}

/// A commit as an ext4 disk, generated when it is read.
///
/// An image is immutable: the same commit, options and snapshot give the same
/// bytes in every thread, process and version of the same [`LAYOUT_VERSION`].
/// It may be read by any number of threads at once.
#[derive(Debug)]
pub struct Image {
    plan: Arc<Plan>,
    origin: Arc<Origin>,
    stamp: Stamp,
    identity: Identity,
    checksum: Checksum,
    /// The hash at the end of the git index, computed when it is read first.
    index_hash: OnceLock<ObjectId>,
}

/// A run of bytes that are all allocated, or all read as zeroes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// The length in bytes, at least 1.
    pub length: u64,
    /// `false` for a hole, which reads as zeroes.
    pub allocated: bool,
}

impl Image {
    /// Plans the image of a commit, or of an unborn branch if `commit` is the
    /// null id: then the work tree is empty. This reads all trees of the commit and the
    /// headers of its blobs, and the content of those blobs that
    /// `.gitattributes` may convert.
    ///
    /// # Errors
    ///
    /// With the path in the tree where it applies:
    ///
    /// - [`Kind::NotFound`] if the commit, the directory
    ///   [`Options::path`](Options::path), or an object of the commit does not
    ///   exist,
    /// - [`Kind::Invalid`] if HEAD cannot be on the branch
    ///   [`Options::head`](Options::head),
    /// - [`Kind::Corrupt`] if an object is damaged, is not of the expected
    ///   type, or is a tree that git refuses to check out,
    /// - [`Kind::Unsupported`] if the image would exceed a limit (see the
    ///   [crate documentation](crate#limits)),
    /// - [`Kind::Io`] if a disk fails.
    pub fn open(origin: Origin, commit: ObjectId, options: &Options) -> Result<Self> {
        Self::open_within(origin, commit, options, &Unlimited)
    }

    /// The same, of an image that may take no more than `allowance` has.
    ///
    /// # Errors
    ///
    /// The same, and those of `allowance`.
    pub fn open_within(
        origin: Origin,
        commit: ObjectId,
        options: &Options,
        allowance: &dyn Allowance,
    ) -> Result<Self> {
        let plan = open::open(&origin, commit, options, allowance)?;
        let Options {
            uid, gid, mtime, ..
        } = *options;
        Ok(Self::of(plan.into(), origin.into(), uid, gid, mtime))
    }

    /// The same image with another owner, group and time of its files, as
    /// [`Options`] has them. Both share their plan.
    #[must_use]
    pub fn restamped(&self, uid: u32, gid: u32, mtime: Option<FileTime>) -> Self {
        let (plan, origin) = (Arc::clone(&self.plan), Arc::clone(&self.origin));
        Self::of(plan, origin, uid, gid, mtime)
    }

    fn of(
        plan: Arc<Plan>,
        origin: Arc<Origin>,
        uid: u32,
        gid: u32,
        mtime: Option<FileTime>,
    ) -> Self {
        let mtime = mtime.unwrap_or(plan.mtime);
        let stamp = Stamp { uid, gid, mtime };
        let identity = open::identity(&plan, &stamp);
        Self {
            plan,
            origin,
            stamp,
            identity,
            checksum: Checksum::new(&identity.uuid),
            index_hash: OnceLock::new(),
        }
    }

    /// When its files were last modified.
    pub fn mtime(&self) -> FileTime {
        self.stamp.mtime
    }

    /// Sentences for the log: what git tolerates in this commit and shows
    /// otherwise than it asks for, and so does the image.
    pub fn notices(&self) -> &[String] {
        &self.plan.notices
    }

    /// The size of the disk in bytes, a multiple of 4096.
    pub fn size(&self) -> u64 {
        self.plan.size()
    }

    /// The length in bytes of the metadata at the front of the disk. A client
    /// that has read it can walk the whole tree without another read.
    pub fn prefix(&self) -> u64 {
        self.plan.layout.prefix_blocks() * to_u64(BLOCK_SIZE)
    }

    /// The memory of the plan in bytes, without the tree listings.
    pub fn heap_bytes(&self) -> usize {
        self.plan.heap_bytes()
    }

    /// The memory of the tree listings in bytes. Images of other commits with
    /// the same trees share them.
    pub fn listing_bytes(&self) -> usize {
        self.plan
            .dirs
            .iter()
            .map(|dir| dir.folder.listing_bytes())
            .sum()
    }

    /// The length in bytes of all files that checkout converts, each by its blob
    /// or by what it is in the image, whichever is greater.
    pub fn converted_bytes(&self) -> u64 {
        self.plan.converted_bytes
    }

    /// The number of regular files and symlinks, those in `.git` included.
    pub fn files(&self) -> u64 {
        to_u64(
            self.plan
                .dirs
                .iter()
                .map(|dir| dir.folder.len())
                .sum::<usize>()
                + 1,
        ) - self.directories()
    }

    /// The number of directories, the root included.
    pub fn directories(&self) -> u64 {
        to_u64(self.plan.dirs.len())
    }

    /// Where the objects of the image are read from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Fills `buffer` with the bytes of the disk from `offset` on, both in
    /// bytes. Waits for disks if necessary.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] if the range does not lie on the disk. Else, with the
    /// path of the file that cannot be read: [`Kind::NotFound`] or
    /// [`Kind::Corrupt`] if its blob is missing or damaged, and [`Kind::Io`] if
    /// a disk fails. The content of `buffer` is then unspecified.
    ///
    /// # Panics
    ///
    /// If the image in memory is damaged; other bytes are never returned.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.read(offset, buffer, ReadMode::Blocking).map(|_| ())
    }

    /// Like [`Image::read_at`], but neither waits for a disk nor inflates
    /// anything: returns `false`, with unspecified content of `buffer`, if that
    /// would be necessary.
    ///
    /// # Errors
    ///
    /// As for [`Image::read_at`].
    ///
    /// # Panics
    ///
    /// As for [`Image::read_at`].
    pub fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        self.read(offset, buffer, ReadMode::CachedOnly)
    }

    fn read(&self, offset: u64, buffer: &mut [u8], mode: ReadMode) -> Result<bool> {
        let end = offset.checked_add(to_u64(buffer.len()));
        if end.is_none_or(|end| end > self.size()) {
            let (length, size) = (buffer.len(), self.size());
            let message =
                format!("{length} bytes at offset {offset} are not on a disk of {size} bytes");
            return Err(Error::new(Kind::Invalid, message));
        }
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let piece = self.plan.piece(offset);
            let length = to_usize(piece.length).min(rest.len());
            let (part, remaining) = rest.split_at_mut(length);
            if !self.read_piece(piece.source, part, mode)? {
                return Ok(false);
            }
            offset += to_u64(length);
            rest = remaining;
        }
        Ok(true)
    }

    fn read_piece(&self, source: Source, out: &mut [u8], mode: ReadMode) -> Result<bool> {
        let reader = Reader {
            plan: &self.plan,
            origin: &self.origin,
            stamp: &self.stamp,
            index_hash: &self.index_hash,
            mode,
        };
        match source {
            Source::Zero => out.fill(0),
            Source::File { entry, offset } => return reader.file(entry, offset, out),
            Source::Metadata { region, inside, .. } => {
                let synth = Synth {
                    reader,
                    identity: &self.identity,
                    checksum: self.checksum,
                };
                let mut block = [0; BLOCK_SIZE];
                if !synth.block(region, &mut block)? {
                    return Ok(false);
                }
                out.copy_from_slice(&block[inside..inside + out.len()]);
            }
        }
        Ok(true)
    }

    /// The run of allocated bytes, or the hole, that starts at `offset`; `None`
    /// at the end of the disk and after it.
    pub fn allocated(&self, offset: u64) -> Option<Allocated> {
        let left = self.size().checked_sub(offset).filter(|&left| left > 0)?;
        let run = self.plan.layout.run(BlockNr(offset / to_u64(BLOCK_SIZE)));
        let length = (run.end.0 * to_u64(BLOCK_SIZE) - offset).min(left);
        Some(Allocated {
            length,
            allocated: !run.zero,
        })
    }

    /// What the byte at `offset` belongs to, for messages: the path of a file,
    /// or a name in angle brackets for metadata and free space.
    pub fn describe(&self, offset: u64) -> String {
        if offset >= self.size() {
            return "<past the end>".into();
        }
        match self.plan.piece(offset).source {
            Source::Zero => "<free>".into(),
            Source::Metadata { region, .. } => format!("<{region:?}>"),
            Source::File { entry, .. } => contents::path(&self.plan, entry),
        }
    }
}
