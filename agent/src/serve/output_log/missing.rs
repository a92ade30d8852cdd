//! What of the output a log does not have, because the disk was full.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::io::Errno;

/// A file whose length never changes: a full disk takes it, too.
const NAME: &str = "missing";

/// Why a log takes nothing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble(Errno);

impl Trouble {
    /// Whether that is for want of room.
    pub fn is_full(self) -> bool {
        matches!(self.0, Errno::NOSPC | Errno::DQUOT)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How many bytes are missing.
#[derive(Debug)]
pub(super) struct Missing {
    file: Option<File>,
    /// In all.
    total: u64,
    /// Since the log has last said how many.
    unsaid: u64,
}

impl Missing {
    /// None yet, of a new log.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(directory.join(NAME))?;
        write(&file, 0)?;
        Ok(Self {
            file: Some(file),
            total: 0,
            unsaid: 0,
        })
    }

    /// Of a log that is there.
    pub(super) fn open(directory: &Path) -> Self {
        let text = fs::read_to_string(directory.join(NAME)).unwrap_or_default();
        Self {
            file: None,
            total: text.trim().parse().unwrap_or(0),
            unsaid: 0,
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.total += bytes;
        self.unsaid += bytes;
        if let Some(Err(error)) = self.file.as_ref().map(|file| write(file, self.total)) {
            tracing::debug!(%error, "cannot write down how much is missing");
        }
    }

    /// What the log says where they would be. CAN and SGR 0 first: the output
    /// may be cut off within a sequence.
    pub(super) fn mark(&self, trouble: Trouble) -> String {
        let unsaid = self.unsaid;
        format!("\x18\x1b[0m\r\n[agent: {unsaid} bytes of output are missing here: {trouble}]\r\n")
    }

    /// That was written.
    pub(super) fn said(&mut self) {
        self.unsaid = 0;
    }
}

fn write(file: &File, total: u64) -> io::Result<()> {
    file.write_all_at(format!("{total:020}\n").as_bytes(), 0)
}
