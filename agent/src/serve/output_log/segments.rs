//! The files of a log, each named by the offset of its first byte.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::statvfs;

use super::{Limits, times};

/// How many bytes must be free before a log resumes: as many as are read from
/// the terminal at once.
const MIN_FREE: u64 = 64 << 10;

/// A file of a log.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) start: u64,
    path: PathBuf,
    pub(super) file: Arc<File>,
}

/// The files of one log, oldest first.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    limits: Limits,
    /// Never empty.
    all: Mutex<Vec<Segment>>,
}

const NOT_EMPTY: &str = "a log has at least one segment";

impl Segments {
    /// The files of a new log: one that is empty.
    pub(super) fn create(directory: &Path, limits: Limits) -> io::Result<Self> {
        let first = create(directory, 0)?;
        Ok(Self::new(directory, limits, vec![first]))
    }

    /// The files of an existing log.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            // Other names are no segments.
            let Some(start) = name.and_then(|name| name.parse().ok()) else {
                continue;
            };
            let file = Arc::new(File::open(&path)?);
            all.push(Segment { start, path, file });
        }
        if all.is_empty() {
            let message = format!("{} has no segments", directory.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        all.sort_by_key(|segment| segment.start);
        Ok(Self::new(directory, Limits::default(), all))
    }

    fn new(directory: &Path, limits: Limits, all: Vec<Segment>) -> Self {
        Self {
            directory: directory.to_owned(),
            limits,
            all: Mutex::new(all),
        }
    }

    /// The first offset that is retained.
    pub(super) fn first(&self) -> u64 {
        self.all().first().expect(NOT_EMPTY).start
    }

    /// The directory with its files.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The offset at which each segment begins.
    pub(super) fn starts(&self) -> Vec<u64> {
        self.all().iter().map(|segment| segment.start).collect()
    }

    /// One after the last offset, by the length of the last file.
    pub(super) fn end(&self) -> io::Result<u64> {
        let all = self.all();
        let last = all.last().expect(NOT_EMPTY);
        Ok(last.start + last.file.metadata()?.len())
    }

    /// The segment that has this offset, while it is retained.
    pub(super) fn at(&self, offset: u64) -> Option<Segment> {
        let all = self.all();
        let mut from_last = all.iter().rev();
        from_last.find(|segment| segment.start <= offset).cloned()
    }

    /// The segment to which bytes are appended at `end`, and how many it still
    /// takes. Where a new one is needed, the oldest may be removed.
    pub(super) fn open_at(&self, end: u64) -> io::Result<(Segment, u64)> {
        let mut all = self.all();
        let start = all.last().expect(NOT_EMPTY).start;
        if end - start >= self.limits.segment {
            all.push(create(&self.directory, end)?);
            self.drop_oldest(&mut all, end);
        }
        let last = all.last().expect(NOT_EMPTY);
        let room = self.limits.segment - (end - last.start);
        Ok((last.clone(), room))
    }

    /// Whether the disk has room for more output.
    pub(super) fn have_room(&self) -> bool {
        statvfs(&self.directory).is_ok_and(|disk| disk.f_bavail * disk.f_frsize >= MIN_FREE)
    }

    fn drop_oldest(&self, all: &mut Vec<Segment>, end: u64) {
        let cap = self.limits.run.max(self.limits.segment);
        while let [oldest, _, ..] = all.as_slice() {
            if end - oldest.start + self.limits.segment <= cap {
                break;
            }
            if let Err(error) = fs::remove_file(&oldest.path) {
                tracing::warn!(path = %oldest.path.display(), %error, "cannot remove an old segment");
            }
            times::remove(&self.directory, oldest.start);
            all.remove(0);
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create(directory: &Path, start: u64) -> io::Result<Segment> {
    let path = directory.join(format!("{start:020}"));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = Arc::new(options.open(&path)?);
    Ok(Segment { start, path, file })
}
