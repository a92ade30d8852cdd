//! When the bytes of a log were put out: [`Line`]s in a file beside each segment,
//! `OFFSET.times`, which is removed with it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::extent::bytes;
use crate::{run_times::Line, serve::screen::Size};

/// What is put out within this time is taken to be put out at once: a program
/// that draws all the time costs some 150 bytes a second.
const TOGETHER: Duration = Duration::from_millis(50);

/// The file of the segment that begins at an offset.
pub(super) fn path(directory: &Path, start: u64) -> PathBuf {
    directory.join(format!("{start:020}.times"))
}

/// The times of a log that is being written.
#[derive(Debug)]
pub(super) struct Times {
    directory: PathBuf,
    size: Size,
    /// The offset of the segment that it writes beside.
    start: u64,
    file: File,
    /// The length of the file.
    length: u64,
    /// When the last line in the file was.
    last: Instant,
    /// Lines that are not in the file yet, because they may grow, or because the
    /// disk is full.
    pending: Vec<Event>,
}

/// What becomes a line.
#[derive(Debug, Clone, Copy)]
struct Event(Instant, What);

#[derive(Debug, Clone, Copy)]
enum What {
    /// So many bytes came.
    Bytes(u64),
    /// The terminal has this size.
    Size(Size),
}

impl Times {
    /// Those of a new log, whose terminal has this size.
    pub(super) fn create(directory: &Path, size: Size) -> io::Result<Self> {
        let last = Instant::now();
        let (file, length) = create(directory, 0, size)?;
        Ok(Self {
            directory: directory.to_owned(),
            size,
            start: 0,
            file,
            length,
            last,
            pending: Vec::new(),
        })
    }

    /// Bytes were appended to the segment that begins at `start`.
    pub(super) fn put_out(&mut self, start: u64, count: usize) {
        if start != self.start {
            self.write(true);
            self.begin(start);
        }
        let now = Instant::now();
        let count = bytes(count);
        match self.pending.last_mut() {
            Some(Event(when, What::Bytes(before))) if now - *when < TOGETHER => *before += count,
            _ => {
                self.pending.push(Event(now, What::Bytes(count)));
                self.write(false);
            }
        }
    }

    /// The terminal has another size.
    pub(super) fn resized(&mut self, size: Size) {
        self.size = size;
        self.pending.push(Event(Instant::now(), What::Size(size)));
        self.write(true);
    }

    /// Puts into the file what is not there yet.
    pub(super) fn flush(&mut self) {
        self.write(true);
    }

    /// The same; without `all` the last line, which may grow, is left.
    fn write(&mut self, all: bool) {
        let count = self.pending.len() - usize::from(!all && !self.pending.is_empty());
        let (mut text, mut last) = (String::new(), self.last);
        for Event(when, what) in &self.pending[..count] {
            let later = in_milliseconds(when.duration_since(last));
            // What is cut off counts for the next line.
            last += Duration::from_millis(later);
            let line = match *what {
                What::Bytes(bytes) => Line::Output { later, bytes },
                What::Size(size) => Line::Resized { later, size },
            };
            text += &line.to_string();
            text.push('\n');
        }
        match self.file.write_all_at(text.as_bytes(), self.length) {
            Ok(()) => {
                self.length += bytes(text.len());
                self.last = last;
                self.pending.drain(..count);
            }
            Err(error) => self.give_up_on_detail(&error),
        }
    }

    /// While the disk is full what comes is one line, which is written later.
    fn give_up_on_detail(&mut self, error: &io::Error) {
        tracing::debug!(%error, "cannot write down when the output came");
        let counts = self.pending.iter().map(|Event(_, what)| match what {
            What::Bytes(count) => *count,
            What::Size(_) => 0,
        });
        let count = counts.sum();
        if let Some(Event(when, _)) = self.pending.first().copied() {
            self.pending = vec![Event(when, What::Bytes(count))];
            self.pending.push(Event(when, What::Size(self.size)));
        }
    }

    /// Begins the file of another segment.
    fn begin(&mut self, start: u64) {
        self.start = start;
        match create(&self.directory, start, self.size) {
            Ok((file, length)) => {
                (self.file, self.length) = (file, length);
                self.last = Instant::now();
                self.pending.clear();
            }
            Err(error) => {
                tracing::warn!(%error, "it is not written down when the output comes from here on");
            }
        }
    }
}

fn in_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("no clock runs for so long")
}

/// Makes the file of a segment, with its first line; returns its length too.
fn create(directory: &Path, start: u64, size: Size) -> io::Result<(File, u64)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let line = Line::Segment {
        offset: start,
        began: in_milliseconds(now.map_err(io::Error::other)?),
        size,
    };
    let line = format!("{line}\n");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let file = options.open(path(directory, start))?;
    file.write_all_at(line.as_bytes(), 0)?;
    Ok((file, bytes(line.len())))
}

/// The times of the segments that begin at these offsets, one file after the
/// other. One may be missing, where the disk was full when it was to begin: its
/// lines are at the end of the file before it.
///
/// # Errors
///
/// [`NotFound`](io::ErrorKind::NotFound) for a log of an agent that wrote down no
/// times; else when a file cannot be opened.
pub(super) fn open(directory: &Path, starts: &[u64]) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for start in starts {
        match File::open(path(directory, *start)) {
            Ok(file) => files.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if files.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(files)
}

/// Removes the times of a segment that is removed.
pub(super) fn remove(directory: &Path, start: u64) {
    match fs::remove_file(path(directory, start)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(start, %error, "cannot remove the times of an old segment"),
    }
}
