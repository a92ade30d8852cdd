//! Standard output, which may be a person's terminal.

use std::io::{self, IsTerminal, Write};

use crate::terminal_output::{Filter, Policy};

/// Where the output of a program goes: to a terminal filtered, elsewhere as it is.
pub(super) struct Output {
    filter: Option<Filter>,
}

impl Output {
    /// Standard output; `raw`: as it is to a terminal, too.
    pub(super) fn new(raw: bool) -> Self {
        let is_filtered = io::stdout().is_terminal() && !raw;
        Self {
            filter: is_filtered.then(|| Filter::new(Policy::READER)),
        }
    }

    /// Whether it goes to a terminal that is to be left as it was.
    pub(super) fn is_filtered(&self) -> bool {
        self.filter.is_some()
    }

    /// Writes what passes of the next bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.filter {
            Some(filter) => write(&filter.push(bytes)),
            None => write(bytes),
        }
    }

    /// Leaves a terminal as it was.
    pub(super) fn end(self) -> io::Result<()> {
        self.filter.map_or(Ok(()), |filter| write(&filter.end()))
    }
}

/// Writes to standard output at once.
pub(super) fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(bytes)?;
    out.flush()
}
