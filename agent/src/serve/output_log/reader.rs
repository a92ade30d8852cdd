//! One reader of a log: a place in it, and the file it is in.

use std::{io, os::unix::fs::FileExt, sync::Arc};

use tokio::sync::watch;

use super::{Extent, OutputLog, Segment};

/// Reads a log from an offset on.
#[derive(Debug)]
pub struct Reader {
    log: Arc<OutputLog>,
    extent: watch::Receiver<Extent>,
    offset: u64,
    /// Kept while it is read, so that it may be rotated away meanwhile.
    segment: Option<Segment>,
}

impl Reader {
    pub(super) fn new(log: Arc<OutputLog>, offset: u64) -> Self {
        let extent = log.extent.subscribe();
        Self {
            log,
            extent,
            offset,
            segment: None,
        }
    }

    /// The offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads what is there; 0 at the end, for now.
    ///
    /// # Errors
    ///
    /// When the bytes at this offset are no longer kept, or cannot be read.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let there = self.log.extent().end.saturating_sub(self.offset);
            if there == 0 {
                return Ok(0);
            }
            let length = usize::try_from(there).unwrap_or(usize::MAX);
            let length = length.min(buffer.len());
            let fresh = self.segment.is_none();
            let segment = self.segment()?;
            let within = self.offset - segment.start;
            let read = segment.file.read_at(&mut buffer[..length], within)?;
            if read > 0 {
                self.offset += u64::try_from(read).map_err(io::Error::other)?;
                return Ok(read);
            }
            if fresh {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.segment = None;
        }
    }

    /// Waits until there is more to read; false when there will be no more.
    pub async fn wait(&mut self) -> bool {
        let offset = self.offset;
        let more = |extent: &Extent| extent.end > offset || extent.finished;
        match self.extent.wait_for(more).await {
            Ok(extent) => extent.end > offset,
            Err(_) => false,
        }
    }

    fn segment(&mut self) -> io::Result<Segment> {
        if let Some(segment) = &self.segment {
            return Ok(segment.clone());
        }
        let gone = || io::Error::new(io::ErrorKind::NotFound, "these bytes are no longer kept");
        let segment = self.log.segment_at(self.offset).ok_or_else(gone)?;
        self.segment = Some(segment.clone());
        Ok(segment)
    }
}
