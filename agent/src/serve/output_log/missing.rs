//! How much of the output a log lacks, because it could not be written.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use super::LogError;

/// A file of constant length, so that it can be updated on a full disk.
const NAME: &str = "missing";

/// How many bytes are missing.
#[derive(Debug)]
pub(super) struct Missing {
    /// Open for writing while the run goes on.
    file: Option<File>,
    /// In all.
    total: u64,
    /// Since the last mark in the log.
    unmarked: u64,
}

impl Missing {
    /// No bytes, of a new log.
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(directory.join(NAME))?;
        write(&file, 0)?;
        Ok(Self {
            file: Some(file),
            total: 0,
            unmarked: 0,
        })
    }

    /// Reads the number of an existing log.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(directory.join(NAME))?;
        let total = text.trim().parse();
        Ok(Self {
            file: None,
            total: total.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            unmarked: 0,
        })
    }

    /// How many bytes are missing in all.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn add(&mut self, bytes: u64) {
        self.total += bytes;
        self.unmarked += bytes;
        if let Some(Err(error)) = self.file.as_ref().map(|file| write(file, self.total)) {
            tracing::debug!(%error, "cannot write down how much output is missing");
        }
    }

    /// The line of the log that stands for the missing bytes. CAN and SGR 0
    /// come first: the output may have been cut within an escape sequence.
    pub(super) fn mark(&self, error: LogError) -> String {
        let unmarked = self.unmarked;
        format!("\x18\x1b[0m\r\n[agent: {unmarked} bytes of output are missing here: {error}]\r\n")
    }

    /// The mark was written.
    pub(super) fn marked(&mut self) {
        self.unmarked = 0;
    }
}

fn write(file: &File, total: u64) -> io::Result<()> {
    file.write_all_at(format!("{total:020}\n").as_bytes(), 0)
}
