//! What is sent to a page.

use std::time::Duration;

use axum::extract::ws::Message;
use serde_json::json;
use tokio::time::Instant;

use crate::serve::{
    recent::Position,
    session::{Run, Status},
    snapshot::snapshot,
};

/// The longest piece of output in one message.
const PIECE: usize = 64 << 10;
/// How many bytes a page may have been sent and not have drawn.
const MAX_UNSHOWN: u64 = 512 << 10;
/// How often a page gets a snapshot at most.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(250);
/// One key after another is echoed at once; more than this is seen by nobody.
const FRAME_INTERVAL: Duration = Duration::from_millis(8);

/// What one page has got.
#[derive(Default)]
pub(in crate::serve::http) struct Page {
    /// The state that was last sent.
    state: String,
    /// Up to where it has the output; none before a snapshot.
    position: Option<Position>,
    /// Whether the snapshot was of the alternate screen: what is under it was not sent.
    is_alternate: bool,
    /// A snapshot that was announced.
    announced: Option<Vec<u8>>,
    /// When the last was made.
    snapshot_at: Option<Instant>,
    /// How many bytes were sent, and how many of them it has drawn.
    sent: u64,
    shown: u64,
}

impl Page {
    /// Begins anew, with another run.
    pub(super) fn restart(&mut self) {
        self.position = None;
        self.snapshot_at = None;
    }

    /// The state of the run, if it has changed.
    pub(super) fn state(&mut self, status: &Status, writer: bool) -> Option<String> {
        // The length of the log changes all the time, and nobody reads it.
        let status = Status {
            bytes: 0,
            first: 0,
            ..status.clone()
        };
        let state = json!({ "status": status, "writer": writer }).to_string();
        if state == self.state {
            return None;
        }
        self.state.clone_from(&state);
        Some(state)
    }

    /// It has drawn this many bytes.
    pub(super) fn shown(&mut self, bytes: u64) {
        self.shown = bytes.min(self.sent);
    }

    /// Whether a snapshot is due that was put off.
    pub(super) fn is_late(&self) -> bool {
        self.position.is_none() && self.snapshot_at.is_some() && self.accepts_more()
    }

    /// How long the next frame is put off.
    pub(super) fn pause(&self) -> Duration {
        match self.snapshot_at.filter(|_| self.position.is_none()) {
            Some(at) => SNAPSHOT_INTERVAL
                .checked_sub(at.elapsed())
                .unwrap_or(FRAME_INTERVAL),
            None => FRAME_INTERVAL,
        }
    }

    fn accepts_more(&self) -> bool {
        self.sent - self.shown < MAX_UNSHOWN
    }

    /// The next message: of the output, or with a snapshot where that is not retained.
    pub(super) fn next(&mut self, run: &Run) -> Option<Message> {
        if let Some(snapshot) = self.announced.take() {
            return Some(self.bytes(snapshot));
        }
        if !self.accepts_more() {
            return None;
        }
        let screen = run.screen();
        if self.is_alternate && !screen.is_alternate() {
            self.position = None;
        }
        let news = self.position.map(|from| run.recent().since(from, PIECE));
        if let Some(Some((bytes, after))) = news {
            self.position = Some(after);
            return (!bytes.is_empty()).then(|| self.bytes(bytes));
        }
        self.position = None;
        let is_early = |at: Instant| at.elapsed() < SNAPSHOT_INTERVAL;
        if self.snapshot_at.is_some_and(is_early) {
            return None;
        }
        self.snapshot_at = Some(Instant::now());
        self.position = Some(run.recent().end());
        self.is_alternate = screen.is_alternate();
        self.announced = Some(snapshot(&screen));
        let size = screen.size();
        let announced = json!({ "snapshot": {
            "run": run.id().to_string(), "columns": size.columns, "rows": size.rows,
        } });
        Some(Message::Text(announced.to_string().into()))
    }

    fn bytes(&mut self, bytes: Vec<u8>) -> Message {
        self.sent += u64::try_from(bytes.len()).expect("usize has at most 64 bits");
        Message::Binary(bytes.into())
    }
}
