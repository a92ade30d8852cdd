//! A reader of a log: an offset, and the file it is in.

use std::{io, os::unix::fs::FileExt, sync::Arc};

use tokio::sync::watch;

use super::{
    Extent, OutputLog,
    extent::{at_most, bytes},
    segments::Segment,
};

/// Reads a log from an offset on.
#[derive(Debug)]
pub struct Reader {
    log: Arc<OutputLog>,
    extent: watch::Receiver<Extent>,
    offset: u64,
    /// Held while it is read, so that it may be removed meanwhile.
    segment: Option<Segment>,
}

impl Reader {
    /// The offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads what is there, at most as much as `buffer` holds. Returns 0 at the
    /// end of the log, which may move.
    ///
    /// # Errors
    ///
    /// When the bytes at this offset are no longer retained
    /// ([`NotFound`](io::ErrorKind::NotFound)), or cannot be read.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let end = self.log.extent().end;
            if self.offset >= end {
                return Ok(0);
            }
            let length = at_most(end - self.offset, buffer.len());
            let is_new = self.segment.is_none();
            let segment = self.segment()?;
            let within = self.offset - segment.start;
            let read = segment.file.read_at(&mut buffer[..length], within)?;
            if read > 0 {
                self.offset += bytes(read);
                return Ok(read);
            }
            if is_new {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.segment = None;
        }
    }

    /// Waits until there is more to read; returns false when there will be no more.
    pub async fn wait(&mut self) -> bool {
        let offset = self.offset;
        let more = |extent: &Extent| extent.end > offset || extent.finished;
        let extent = self.extent.wait_for(more).await;
        extent.is_ok_and(|extent| extent.end > offset)
    }

    fn segment(&mut self) -> io::Result<Segment> {
        if let Some(segment) = &self.segment {
            return Ok(segment.clone());
        }
        let gone = || {
            io::Error::new(
                io::ErrorKind::NotFound,
                "these bytes are no longer retained",
            )
        };
        let segment = self.log.segment_at(self.offset).ok_or_else(gone)?;
        self.segment = Some(segment.clone());
        Ok(segment)
    }
}

impl OutputLog {
    /// A reader that begins at `offset`, which may be beyond the end.
    pub fn reader(self: &Arc<Self>, offset: u64) -> Reader {
        Reader {
            log: Arc::clone(self),
            extent: self.changes(),
            offset,
            segment: None,
        }
    }

    /// The last `length` bytes as text, or as many as are retained. A character
    /// that is cut is replaced by U+FFFD.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or are removed meanwhile.
    pub fn end_text(self: &Arc<Self>, length: u64) -> io::Result<String> {
        let Extent { first, end, .. } = self.extent();
        let start = if end - first > length {
            end - length
        } else {
            first
        };
        let mut reader = self.reader(start);
        // What is appended meanwhile is left out.
        let mut text = vec![0; at_most(end - start, usize::MAX)];
        let mut filled = 0;
        while filled < text.len() {
            match reader.read(&mut text[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}
