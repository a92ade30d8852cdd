//! What is sent to a viewer of the terminal: to a page the bytes of the program, to
//! `agent terminal` what is drawn.
//!
//! ```text
//! page    {"status": …, "writer": true}      when one of them changes
//!         {"snapshot": {"run": …, "columns": …, "rows": …}}
//!         bytes                              on an empty terminal of that size
//!         bytes                              what the program has put out since
//! ```

mod page;
mod terminal;

use std::time::Duration;

use axum::extract::ws::Message;

use self::{page::Page, terminal::Terminal};
use crate::serve::{
    screen::Size,
    session::{Run, Status},
};

/// What is sent to one viewer.
pub(in crate::serve::http) enum Frames {
    Page(Page),
    Terminal(Terminal),
}

impl Frames {
    pub(in crate::serve::http) fn of_page() -> Self {
        Self::Page(Page::default())
    }

    /// For a terminal that was told this size.
    pub(in crate::serve::http) fn of_terminal(told: Size) -> Self {
        Self::Terminal(Terminal::new(told))
    }

    /// Whether there is something to send although nothing more happens.
    pub(in crate::serve::http) fn is_late(&self) -> bool {
        matches!(self, Self::Page(page) if page.is_late())
    }

    /// How long a frame is shown at least.
    pub(in crate::serve::http) fn interval(&self) -> Duration {
        match self {
            // One key after another is echoed at once; more is seen by nobody.
            Self::Page(page) => page.pause(),
            Self::Terminal(_) => Duration::from_millis(40),
        }
    }

    /// Begins anew, with another run.
    pub(in crate::serve::http) fn restart(&mut self) {
        match self {
            Self::Page(page) => page.restart(),
            Self::Terminal(terminal) => terminal.restart(),
        }
    }

    /// The state of the run, for a page, if it has changed.
    pub(in crate::serve::http) fn state(
        &mut self,
        status: &Status,
        writer: bool,
    ) -> Option<String> {
        match self {
            Self::Page(page) => page.state(status, writer),
            Self::Terminal(_) => None,
        }
    }

    /// The page has drawn this many bytes.
    pub(in crate::serve::http) fn shown(&mut self, bytes: u64) {
        if let Self::Page(page) = self {
            page.shown(bytes);
        }
    }

    /// The next message, if there is one to send now.
    pub(in crate::serve::http) fn next(&mut self, run: Option<&Run>) -> Option<Message> {
        match self {
            Self::Page(page) => page.next(run?),
            Self::Terminal(terminal) => terminal.next(run),
        }
    }
}
