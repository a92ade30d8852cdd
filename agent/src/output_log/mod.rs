//! The output of a run: bytes with offsets, append-only, in files.
//!
//! ```text
//! RUN/00000000000000000000   first segment; it goes when the log is over its cap
//! RUN/00000000000067108864   each is named by the offset of its first byte
//! ```
//!
//! Readers hold files, not bytes: one that stalls costs nothing, and one that
//! follows is woken by the end of the log moving.

mod reader;
mod runs;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

pub use self::reader::Reader;
pub use self::runs::{RunId, Runs};

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
    /// Whether nothing will follow.
    pub finished: bool,
}

#[derive(Debug, Clone)]
struct Segment {
    start: u64,
    path: PathBuf,
    file: Arc<File>,
}

/// The output of one run.
#[derive(Debug)]
pub struct OutputLog {
    directory: PathBuf,
    limits: Limits,
    segments: Mutex<Vec<Segment>>,
    extent: watch::Sender<Extent>,
}

impl OutputLog {
    /// Begins a log in a directory of its own.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub fn create(directory: &Path, limits: Limits) -> io::Result<Self> {
        let segment = new_segment(directory, 0)?;
        Ok(Self::new(directory, limits, vec![segment], false))
    }

    /// Opens the log of a run that is over.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(start) = name.and_then(|name| name.parse().ok()) else {
                continue;
            };
            let file = Arc::new(File::open(&path)?);
            segments.push(Segment { start, path, file });
        }
        segments.sort_by_key(|segment| segment.start);
        let log = Self::new(directory, Limits::default(), segments, true);
        let last = log.segments().last().cloned();
        if let Some(last) = last {
            let end = last.start + last.file.metadata()?.len();
            log.extent.send_modify(|extent| extent.end = end);
        }
        Ok(log)
    }

    fn new(directory: &Path, limits: Limits, segments: Vec<Segment>, finished: bool) -> Self {
        let first = segments.first().map_or(0, |segment| segment.start);
        let extent = Extent {
            first,
            end: first,
            finished,
        };
        Self {
            directory: directory.to_owned(),
            limits,
            segments: Mutex::new(segments),
            extent: watch::Sender::new(extent),
        }
    }

    /// Adds bytes at the end. When it fails, the bytes that were written
    /// before it failed stay, and are counted.
    ///
    /// # Errors
    ///
    /// Whatever the file system says: a full disk most likely.
    pub fn append(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (file, room) = self.open_segment()?;
            let length = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let written = match (&*file).write(&bytes[..length]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            bytes = &bytes[written..];
            let written = u64::try_from(written).map_err(io::Error::other)?;
            self.extent.send_modify(|extent| extent.end += written);
        }
        Ok(())
    }

    /// Says that nothing will follow.
    pub fn finish(&self) {
        self.extent.send_modify(|extent| extent.finished = true);
    }

    /// Which offsets there are now.
    pub fn extent(&self) -> Extent {
        *self.extent.borrow()
    }

    /// A reader that begins at an offset.
    pub fn reader(self: &Arc<Self>, offset: u64) -> Reader {
        Reader::new(Arc::clone(self), offset)
    }

    /// The segment that bytes go to now, and how many it still takes.
    fn open_segment(&self) -> io::Result<(Arc<File>, u64)> {
        let end = self.extent().end;
        let mut segments = self.segments();
        let start = segments.last().map_or(end, |segment| segment.start);
        if end - start >= self.limits.segment {
            segments.push(new_segment(&self.directory, end)?);
            self.drop_oldest(&mut segments, end);
        }
        let last = segments.last().ok_or(io::ErrorKind::NotFound)?;
        let room = self.limits.segment - (end - last.start);
        Ok((Arc::clone(&last.file), room))
    }

    fn drop_oldest(&self, segments: &mut Vec<Segment>, end: u64) {
        let cap = self.limits.run.max(self.limits.segment);
        while let [oldest, next, ..] = segments.as_slice() {
            if end - oldest.start + self.limits.segment <= cap {
                break;
            }
            if let Err(error) = fs::remove_file(&oldest.path) {
                tracing::warn!(path = %oldest.path.display(), %error, "cannot remove old output");
            }
            let first = next.start;
            segments.remove(0);
            self.extent.send_modify(|extent| extent.first = first);
        }
    }

    fn segments(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segment that has this offset.
    fn segment_at(&self, offset: u64) -> Option<Segment> {
        let segments = self.segments();
        let mut from_last = segments.iter().rev();
        from_last.find(|segment| segment.start <= offset).cloned()
    }
}

fn new_segment(directory: &Path, start: u64) -> io::Result<Segment> {
    let path = directory.join(format!("{start:020}"));
    let mut options = OpenOptions::new();
    options.read(true).append(true).create_new(true).mode(0o600);
    let file = Arc::new(options.open(&path)?);
    Ok(Segment { start, path, file })
}
