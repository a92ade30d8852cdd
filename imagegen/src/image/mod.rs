//! Where git and ext4 meet: a commit as a disk.
//!
//! ```text
//! open ─► walk (trees, sizes) ─► Plan ─┐
//!                                      ▼
//! read_at ─► extent_map ─┬─ Zero      zeroes
//!                        ├─ Metadata ─► synth ─► ext4/
//!                        └─ File ─────► contents ─► git/
//! ```

mod census;
mod contents;
mod dot_git;
mod extent_map;
mod folder;
mod index;
mod numbers;
mod open;
mod options;
mod path;
mod plan;
mod shape;
mod synth;
mod walk;

use gix::ObjectId;

pub use self::{
    contents::Origin,
    options::{History, Options},
};
use crate::{
    Error, Kind, Result,
    ext4::{BLOCK_SIZE, BlockNr, Checksum},
    image::{
        contents::{Contents, Effort, Reader},
        extent_map::Source,
        numbers::{narrow, wide},
        plan::Plan,
        synth::Synth,
    },
};

/// Rises whenever a byte of any image changes for the same commit, options
/// and snapshot.
pub const LAYOUT_VERSION: u32 = 2;

/// A commit as an ext4 disk.
///
/// Immutable: every read of the same range gives the same bytes, from any
/// thread, in any process.
#[derive(Debug)]
pub struct Image {
    plan: Plan,
    contents: Contents,
    checksum: Checksum,
}

/// Bytes in a row that are stored, or are zeroes that nobody stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Bytes, never 0.
    pub length: u64,
    /// Whether something is stored there.
    pub allocated: bool,
}

impl Image {
    /// Plans the image of a commit. Reads trees and the headers of blobs.
    ///
    /// # Errors
    ///
    /// What is missing or broken in the repository is told with its path in
    /// the tree; what no ext4 of ours can hold is [`Kind::Unsupported`].
    pub fn open(origin: Origin, commit: ObjectId, options: &Options) -> Result<Self> {
        let (plan, contents) = open::open(origin, commit, options)?;
        let checksum = Checksum::new(&plan.identity.uuid);
        Ok(Self {
            plan,
            contents,
            checksum,
        })
    }

    /// Bytes on the disk, a multiple of 4096.
    pub fn size(&self) -> u64 {
        self.plan.size()
    }

    /// Bytes at the front that hold all metadata: who reads them first walks
    /// the tree without asking again.
    pub fn prefix(&self) -> u64 {
        self.plan.layout.prefix_blocks() * wide(BLOCK_SIZE)
    }

    /// Bytes of memory behind the plan, without listings shared with others.
    pub fn heap_bytes(&self) -> usize {
        self.plan.heap_bytes()
    }

    /// Bytes of memory behind the listings, which images of other commits
    /// share.
    pub fn listing_bytes(&self) -> usize {
        self.plan
            .dirs
            .iter()
            .map(|dir| dir.folder.listing_bytes())
            .sum()
    }

    /// Files and links, those in `.git` among them.
    pub fn files(&self) -> u64 {
        wide(
            self.plan
                .dirs
                .iter()
                .map(|dir| dir.folder.len())
                .sum::<usize>()
                + 1,
        ) - self.directories()
    }

    /// Directories, the root among them.
    pub fn directories(&self) -> u64 {
        wide(self.plan.dirs.len())
    }

    /// Where the objects are read.
    pub fn origin(&self) -> &Origin {
        &self.contents.origin
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] past the end; else what keeps a file from being
    /// read, with the file's path.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.read(offset, buffer, Effort::Full).map(|_| ())
    }

    /// Like [`Image::read_at`], but only from memory; `false` when disk or
    /// inflating is needed, and what `buffer` holds then means nothing.
    ///
    /// # Errors
    ///
    /// As [`Image::read_at`].
    pub fn read_ready(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        self.read(offset, buffer, Effort::Ready)
    }

    fn read(&self, offset: u64, buffer: &mut [u8], effort: Effort) -> Result<bool> {
        let end = offset.checked_add(wide(buffer.len()));
        if end.is_none_or(|end| end > self.size()) {
            let (length, size) = (buffer.len(), self.size());
            let sentence = format!("{length} bytes at {offset} of a disk of {size}");
            return Err(Error::new(Kind::Invalid, sentence));
        }
        let (mut offset, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let piece = self.plan.piece(offset);
            let length = narrow(piece.length).min(rest.len());
            let (part, behind) = rest.split_at_mut(length);
            if !self.read_piece(piece.source, part, effort)? {
                return Ok(false);
            }
            offset += wide(length);
            rest = behind;
        }
        Ok(true)
    }

    fn read_piece(&self, source: Source, out: &mut [u8], effort: Effort) -> Result<bool> {
        let reader = Reader {
            plan: &self.plan,
            contents: &self.contents,
            effort,
        };
        match source {
            Source::Zero => out.fill(0),
            Source::File { place, offset } => return reader.file(place, offset, out),
            Source::Metadata { region, inside, .. } => {
                let checksum = &self.checksum;
                let mut block = [0; BLOCK_SIZE];
                if !(Synth { reader, checksum }).block(region, &mut block)? {
                    return Ok(false);
                }
                out.copy_from_slice(&block[inside..inside + out.len()]);
            }
        }
        Ok(true)
    }

    /// The run of stored bytes, or of zeroes, that begins at `offset`; None
    /// at the end of the disk.
    pub fn allocated(&self, offset: u64) -> Option<Allocated> {
        let left = self.size().checked_sub(offset).filter(|&left| left > 0)?;
        let run = self.plan.layout.run(BlockNr(offset / wide(BLOCK_SIZE)));
        let length = (run.end.0 * wide(BLOCK_SIZE) - offset).min(left);
        Some(Allocated {
            length,
            allocated: !run.zero,
        })
    }

    /// What lies at a byte of the disk: the path of a file, or a word in
    /// angle brackets for metadata and free space.
    pub fn describe(&self, offset: u64) -> String {
        if offset >= self.size() {
            return "<past the end>".into();
        }
        match self.plan.piece(offset).source {
            Source::Zero => "<free>".into(),
            Source::Metadata { region, .. } => format!("<{region:?}>"),
            Source::File { place, .. } => contents::path(&self.plan, place),
        }
    }
}
