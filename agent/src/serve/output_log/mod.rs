//! The output of a run: bytes with offsets, append-only, in files.
//!
//! ```text
//! RUN/00000000000000000000   first segment; it goes when the log is over its cap
//! RUN/00000000000067108864   each is named by the offset of its first byte
//! RUN/missing                how many bytes could not be written
//! ```
//!
//! Readers hold files, not bytes: one that stalls costs nothing, and one that
//! follows is woken by the end of the log moving. On a full disk the log stands
//! still; when it goes on, a line in it says how many bytes are missing there.
//! So an offset means the same byte for ever.

mod missing;
mod reader;
mod runs;
mod segments;
#[cfg(test)]
mod tests;

use std::{
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use self::{
    missing::Missing,
    segments::{Segment, Segments},
};
pub use self::{
    missing::Trouble,
    reader::Reader,
    runs::{RunId, Runs},
};

/// How large a log may become.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How many bytes a segment has.
    pub segment: u64,
    /// How many bytes of a run are kept.
    pub run: u64,
    /// How many of all runs together, as long as it is not less.
    pub total: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment: 64 << 20,
            run: 1 << 30,
            total: 4 << 30,
        }
    }
}

/// Which offsets a log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// The first that is still kept.
    pub first: u64,
    /// One after the last.
    pub end: u64,
    /// Whether the run is over.
    pub finished: bool,
    /// How many bytes of the output it does not have.
    pub missing: u64,
    /// Why it takes nothing now.
    pub trouble: Option<Trouble>,
}

/// The output of one run.
#[derive(Debug)]
pub struct OutputLog {
    segments: Segments,
    /// Held by the one who writes.
    missing: Mutex<Missing>,
    extent: watch::Sender<Extent>,
}

impl OutputLog {
    /// Begins a log in a directory of its own.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub fn create(directory: &Path, limits: Limits) -> io::Result<Self> {
        let segments = Segments::create(directory, limits)?;
        Ok(Self::new(segments, Missing::create(directory)?))
    }

    /// Opens the log of a run that is over.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let segments = Segments::open(directory)?;
        let end = segments.end()?;
        let log = Self::new(segments, Missing::open(directory));
        log.update(|extent| (extent.end, extent.finished) = (end, true));
        Ok(log)
    }

    fn new(segments: Segments, missing: Missing) -> Self {
        let first = segments.first();
        let extent = Extent {
            first,
            end: first,
            missing: missing.total(),
            ..Extent::default()
        };
        Self {
            segments,
            missing: Mutex::new(missing),
            extent: watch::Sender::new(extent),
        }
    }

    /// Adds bytes at the end. What cannot be written is counted as missing,
    /// and all that comes after it, until [`retry`](Self::retry) succeeds: a
    /// log with a hole that nothing tells of would be a lie.
    ///
    /// # Errors
    ///
    /// Whatever the file system says: a full disk most likely.
    pub fn append(&self, bytes: &[u8]) -> Result<(), Trouble> {
        let mut missing = self.missing();
        let (left, trouble) = match self.extent().trouble {
            Some(trouble) => (bytes.len(), trouble),
            None => match self.write(bytes) {
                Ok(()) => return Ok(()),
                Err(cut) => cut,
            },
        };
        missing.add(u64::try_from(left).unwrap_or(u64::MAX));
        self.update(|extent| {
            extent.missing = missing.total();
            extent.trouble = Some(trouble);
        });
        Err(trouble)
    }

    /// Goes on where nothing could be written, if there is room again; gives
    /// whether bytes are taken now.
    pub fn retry(&self) -> bool {
        let mut missing = self.missing();
        let Some(trouble) = self.extent().trouble else {
            return true;
        };
        let marked =
            self.segments.have_room() && self.write_whole(missing.mark(trouble).as_bytes()).is_ok();
        if marked {
            missing.said();
            self.update(|extent| extent.trouble = None);
        }
        marked
    }

    /// Says that no more output will follow.
    pub fn finish(&self) {
        self.retry();
        self.update(|extent| extent.finished = true);
    }

    /// Which offsets there are now.
    pub fn extent(&self) -> Extent {
        *self.extent.borrow()
    }

    /// The same, and a signal for each change.
    pub fn changes(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }

    /// A reader that begins at an offset.
    pub fn reader(self: &Arc<Self>, offset: u64) -> Reader {
        Reader::new(Arc::clone(self), offset)
    }

    /// The last bytes as text, as many as are still kept; characters that are cut are replaced.
    pub fn end_text(self: &Arc<Self>, length: u64) -> String {
        let Extent { first, end, .. } = self.extent();
        let mut reader = self.reader(end.saturating_sub(length).max(first));
        let (mut text, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        // What is put out meanwhile is not waited for.
        while reader.offset() < end {
            match reader.read(&mut buffer) {
                Ok(read @ 1..) => text.extend_from_slice(&buffer[..read]),
                Ok(0) | Err(_) => break,
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Writes as much as is taken; else says how many bytes are left, and why.
    fn write(&self, mut bytes: &[u8]) -> Result<(), (usize, Trouble)> {
        while !bytes.is_empty() {
            match self.write_some(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((bytes.len(), error.into())),
            }
        }
        Ok(())
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.extent().end;
        let (segment, room) = self.segments.open_at(end)?;
        let length = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let written = segment
            .file
            .write_at(&bytes[..length], end - segment.start)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.moved(written)?;
        Ok(written)
    }

    /// Writes all, or nothing that anybody will read.
    fn write_whole(&self, bytes: &[u8]) -> io::Result<()> {
        let end = self.extent().end;
        let (segment, _) = self.segments.open_at(end)?;
        let within = end - segment.start;
        if let Err(error) = segment.file.write_all_at(bytes, within) {
            // Where that fails, the next bytes are written over it.
            let _cut = segment.file.set_len(within);
            return Err(error);
        }
        self.moved(bytes.len())
    }

    fn moved(&self, written: usize) -> io::Result<()> {
        let written = u64::try_from(written).map_err(io::Error::other)?;
        self.update(|extent| extent.end += written);
        Ok(())
    }

    fn update(&self, change: impl FnOnce(&mut Extent)) {
        self.extent.send_modify(|extent| {
            extent.first = self.segments.first();
            change(extent);
        });
    }

    fn missing(&self) -> MutexGuard<'_, Missing> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segment that has this offset.
    fn segment_at(&self, offset: u64) -> Option<Segment> {
        self.segments.at(offset)
    }
}
