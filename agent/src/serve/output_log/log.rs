//! The log of one run, as its writer sees it.

use std::{
    io::{self, Read as _},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    Extent, Limits, LogError,
    extent::{at_most, bytes as in_bytes},
    missing::Missing,
    segments::{Segment, Segments},
    times::{self, Times},
};
use crate::serve::screen::Size;

/// The output of one run.
#[derive(Debug)]
pub struct OutputLog {
    segments: Segments,
    /// Held while bytes are appended.
    missing: Mutex<Missing>,
    /// `None` when the run is over.
    times: Mutex<Option<Times>>,
    extent: watch::Sender<Extent>,
}

impl OutputLog {
    /// Creates a log in a directory of its own, of a terminal of this size.
    ///
    /// # Errors
    ///
    /// When a file cannot be created there.
    pub fn create(directory: &Path, limits: Limits, size: Size) -> io::Result<Self> {
        let segments = Segments::create(directory, limits)?;
        let times = Times::create(directory, size)?;
        Ok(Self::new(
            segments,
            Missing::create(directory)?,
            Some(times),
        ))
    }

    /// Opens the log of a run that is over.
    ///
    /// # Errors
    ///
    /// When there is none, or a file of it cannot be read.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let segments = Segments::open(directory)?;
        let end = segments.end()?;
        let log = Self::new(segments, Missing::open(directory)?, None);
        log.update(|extent| (extent.end, extent.finished) = (end, true));
        Ok(log)
    }

    fn new(segments: Segments, missing: Missing, times: Option<Times>) -> Self {
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
            times: Mutex::new(times),
            extent: watch::Sender::new(extent),
        }
    }

    /// Appends bytes. What cannot be written is counted as missing, and so is
    /// all that follows until [`retry`](Self::retry) succeeds: the log then says
    /// where it has a gap.
    ///
    /// # Errors
    ///
    /// When a write fails, or one failed before and has not been retried since.
    pub fn append(&self, bytes: &[u8]) -> Result<(), LogError> {
        let mut missing = self.missing();
        let (left, error) = match self.extent().error {
            Some(error) => (bytes.len(), error),
            None => match self.write(bytes) {
                Ok(()) => return Ok(()),
                Err(cut) => cut,
            },
        };
        missing.add(in_bytes(left));
        self.update(|extent| {
            extent.missing = missing.total();
            extent.error = Some(error);
        });
        Err(error)
    }

    /// Resumes after a failed write if there is room again. Returns whether
    /// bytes can be appended now.
    pub fn retry(&self) -> bool {
        let mut missing = self.missing();
        let Some(error) = self.extent().error else {
            return true;
        };
        let resumed =
            self.segments.have_room() && self.write_whole(missing.mark(error).as_bytes()).is_ok();
        if resumed {
            missing.marked();
            self.update(|extent| extent.error = None);
        }
        resumed
    }

    /// Marks the log as complete: nothing will be appended.
    pub fn finish(&self) {
        self.retry();
        if let Some(mut times) = self.times().take() {
            times.flush();
        }
        self.update(|extent| extent.finished = true);
    }

    /// Writes down that the terminal has another size from here on.
    pub fn resized(&self, size: Size) {
        if let Some(times) = self.times().as_mut() {
            times.resized(size);
        }
    }

    /// When its bytes were put out, as lines of text, each a [`Line`](crate::run_times::Line).
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) for a log of an agent that wrote down
    /// no times; else when a file cannot be opened.
    pub fn times_text(&self) -> io::Result<impl io::Read + Send + use<>> {
        if let Some(times) = self.times().as_mut() {
            times.flush();
        }
        let files = times::open(self.segments.directory(), &self.segments.starts())?;
        let empty: Box<dyn io::Read + Send> = Box::new(io::empty());
        let all = files.into_iter();
        Ok(all.fold(empty, |all, file| Box::new(all.chain(file))))
    }

    /// Which offsets the log has now.
    pub fn extent(&self) -> Extent {
        *self.extent.borrow()
    }

    /// The [`extent`](Self::extent), and a notification of each change.
    pub fn changes(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }

    /// The segment that has this offset, while it is retained.
    pub(super) fn segment_at(&self, offset: u64) -> Option<Segment> {
        self.segments.at(offset)
    }

    /// Writes bytes; on failure, how many are left, and why.
    fn write(&self, mut bytes: &[u8]) -> Result<(), (usize, LogError)> {
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
        let length = at_most(room, bytes.len());
        let written = segment
            .file
            .write_at(&bytes[..length], end - segment.start)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(&segment, written);
        Ok(written)
    }

    /// Writes all, or nothing that becomes part of the log.
    fn write_whole(&self, bytes: &[u8]) -> io::Result<()> {
        let end = self.extent().end;
        let (segment, _) = self.segments.open_at(end)?;
        let within = end - segment.start;
        if let Err(error) = segment.file.write_all_at(bytes, within) {
            if let Err(error) = segment.file.set_len(within) {
                // The next bytes are written over it.
                tracing::warn!(%error, "cannot truncate a segment after a failed write");
            }
            return Err(error);
        }
        self.advance(&segment, bytes.len());
        Ok(())
    }

    fn advance(&self, segment: &Segment, written: usize) {
        if let Some(times) = self.times().as_mut() {
            times.put_out(segment.start, written);
        }
        self.update(|extent| extent.end += in_bytes(written));
    }

    fn update(&self, change: impl FnOnce(&mut Extent)) {
        self.extent.send_modify(|extent| {
            extent.first = self.segments.first();
            change(extent);
        });
    }

    fn times(&self) -> MutexGuard<'_, Option<Times>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missing(&self) -> MutexGuard<'_, Missing> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
