//! The files of a log, each named by the offset of its first byte.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::statvfs;

use super::Limits;

/// Fewer free bytes are no room: the next piece of output would not fit.
const ROOM: u64 = 64 << 10;

#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) start: u64,
    path: PathBuf,
    pub(super) file: Arc<File>,
}

/// All files of one log, oldest first.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    limits: Limits,
    all: Mutex<Vec<Segment>>,
}

impl Segments {
    /// Those of a new log: one that is empty.
    pub(super) fn create(directory: &Path, limits: Limits) -> io::Result<Self> {
        let first = create(directory, 0)?;
        Ok(Self::new(directory, limits, vec![first]))
    }

    /// Those of a log that is there.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(start) = name.and_then(|name| name.parse().ok()) else {
                continue;
            };
            let file = Arc::new(File::open(&path)?);
            all.push(Segment { start, path, file });
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

    /// The first offset that is still kept.
    pub(super) fn first(&self) -> u64 {
        self.all().first().map_or(0, |segment| segment.start)
    }

    /// One after the last offset, as the files have it.
    pub(super) fn end(&self) -> io::Result<u64> {
        match self.all().last() {
            Some(last) => Ok(last.start + last.file.metadata()?.len()),
            None => Ok(0),
        }
    }

    /// The one that has this offset.
    pub(super) fn at(&self, offset: u64) -> Option<Segment> {
        let all = self.all();
        let mut from_last = all.iter().rev();
        from_last.find(|segment| segment.start <= offset).cloned()
    }

    /// The one that bytes go to at the end, and how many it still takes. A new
    /// one may cost the oldest.
    pub(super) fn open_at(&self, end: u64) -> io::Result<(Segment, u64)> {
        let mut all = self.all();
        let start = all.last().map_or(end, |segment| segment.start);
        if end - start >= self.limits.segment {
            all.push(create(&self.directory, end)?);
            self.drop_oldest(&mut all, end);
        }
        let last = all.last().ok_or(io::ErrorKind::NotFound)?;
        let room = self.limits.segment - (end - last.start);
        Ok((last.clone(), room))
    }

    /// Whether the disk has some.
    pub(super) fn have_room(&self) -> bool {
        statvfs(&self.directory).is_ok_and(|disk| disk.f_bavail * disk.f_frsize >= ROOM)
    }

    fn drop_oldest(&self, all: &mut Vec<Segment>, end: u64) {
        let cap = self.limits.run.max(self.limits.segment);
        while let [oldest, _, ..] = all.as_slice() {
            if end - oldest.start + self.limits.segment <= cap {
                break;
            }
            if let Err(error) = fs::remove_file(&oldest.path) {
                tracing::warn!(path = %oldest.path.display(), %error, "cannot remove old output");
            }
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
