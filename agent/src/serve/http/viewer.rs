//! Somebody who looks at the terminal, and may type.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{Message, WebSocket};
use serde_json::json;
use tokio::{
    sync::OwnedMutexGuard,
    time::{sleep, timeout},
};
use vt100::Screen as Vt;

use super::App;
use crate::{
    serve::keys::KeyFilter,
    serve::session::{Changes, Run},
};

/// At most so often a viewer gets a new picture.
const BETWEEN_FRAMES: Duration = Duration::from_millis(40);
/// A lone Escape is a key when nothing has followed for so long.
const ESCAPE_WAIT: Duration = Duration::from_millis(40);
/// Proxies cut what is silent.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// A viewer that takes nothing for so long is let go.
const STALLED: Duration = Duration::from_secs(30);

/// So many heartbeats without a word, and nobody is there.
const UNANSWERED: u32 = 3;

/// Somebody who looks, and may type.
pub(super) struct Viewer<'a> {
    app: &'a App,
    may_type: bool,
    /// Held by the one who types, from the first to the last.
    keyboard: Option<OwnedMutexGuard<()>>,
    filter: KeyFilter,
    ansi: bool,
    run: Option<Arc<Run>>,
    shown: Option<Vt>,
    /// How many rows that left the screen were sent.
    scrolled: u64,
    last: String,
    unanswered: u32,
}

impl<'a> Viewer<'a> {
    pub(super) fn new(app: &'a App, may_type: bool, ansi: bool) -> Self {
        let mut viewer = Self {
            app,
            may_type,
            keyboard: None,
            filter: KeyFilter::new(&app.allowed_keys),
            ansi,
            run: app.session.run(),
            shown: None,
            scrolled: 0,
            last: String::new(),
            unanswered: 0,
        };
        viewer.take_keyboard();
        viewer
    }

    /// Takes it if nobody else has it; gives whether it is ours.
    fn take_keyboard(&mut self) -> bool {
        if self.may_type && self.keyboard.is_none() {
            self.keyboard = Arc::clone(&self.app.keyboard).try_lock_owned().ok();
        }
        self.keyboard.is_some()
    }

    pub(super) async fn serve(mut self, mut socket: WebSocket) {
        // Before the first frame: nothing new may be missed.
        let mut changes = self.run.as_ref().map(|run| run.changes());
        loop {
            let Some(frame) = self.frame() else { return };
            if !send(&mut socket, frame).await {
                return;
            }
            sleep(BETWEEN_FRAMES).await;
            if !self.until_something_new(&mut socket, &mut changes).await {
                return;
            }
        }
    }

    /// Takes keys until there is something to show; false when the viewer is gone.
    async fn until_something_new(
        &mut self,
        socket: &mut WebSocket,
        changes: &mut Option<Changes>,
    ) -> bool {
        let session = Arc::clone(&self.app.session);
        let run = self.run.clone();
        let next_run = session.next_run(run.as_deref());
        tokio::pin!(next_run);
        loop {
            let lone_escape = self.filter.is_holding();
            tokio::select! {
                message = socket.recv() => match message {
                    Some(Ok(message)) => {
                        self.unanswered = 0;
                        let watched = self.keyboard.is_none();
                        if let Some(notice) = self.take(message).await
                            && !send(socket, Self::notice(&notice)).await
                        {
                            return false;
                        }
                        if watched && self.keyboard.is_some() {
                            return true;
                        }
                    }
                    _ => return false,
                },
                () = sleep(ESCAPE_WAIT), if lone_escape => {
                    let escape = self.filter.flush();
                    self.type_keys(escape).await;
                }
                () = changed(changes) => return true,
                run = &mut next_run => {
                    *changes = Some(run.changes());
                    (self.run, self.shown, self.scrolled) = (Some(run), None, 0);
                    return true;
                }
                () = sleep(HEARTBEAT) => {
                    self.unanswered += 1;
                    let ping = Message::Ping(Vec::new().into());
                    if self.unanswered > UNANSWERED || !send(socket, ping).await {
                        return false;
                    }
                }
            }
        }
    }

    /// Passes keys on; says what was dropped.
    async fn take(&mut self, message: Message) -> Option<String> {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            _ => return None,
        };
        if !self.take_keyboard() {
            return Some("you only watch: somebody else types".to_owned());
        }
        let passed = self.filter.feed(&bytes);
        let failed = self.type_keys(passed.bytes).await;
        let dropped: Vec<_> = passed.dropped.iter().map(ToString::to_string).collect();
        let blocked =
            (!dropped.is_empty()).then(|| format!("{} is blocked here", dropped.join(", ")));
        failed.or(blocked)
    }

    async fn type_keys(&self, keys: Vec<u8>) -> Option<String> {
        if keys.is_empty() {
            return None;
        }
        self.app
            .session
            .keys(keys)
            .await
            .err()
            .map(|error| error.to_string())
    }

    fn notice(notice: &str) -> Message {
        let text = json!({ "notice": notice }).to_string();
        // On a terminal's wire, text is for the person, binary for the screen.
        Message::Text(text.into())
    }

    fn frame(&mut self) -> Option<Message> {
        if self.ansi {
            Some(self.ansi_frame())
        } else {
            self.json_frame()
        }
    }

    fn ansi_frame(&mut self) -> Message {
        let Some(run) = &self.run else {
            return Message::Binary("\x1b[2J\x1b[Hnothing runs yet\r\n".into());
        };
        let now = run.screen().state();
        let drawn = match &self.shown {
            Some(before) => now.contents_diff(before),
            None => now.contents_formatted(),
        };
        self.shown = Some(now);
        Message::Binary(drawn.into())
    }

    fn json_frame(&mut self) -> Option<Message> {
        let status = serde_json::to_value(self.app.session.status()).ok()?;
        let size = self.app.session.size();
        let mut frame = json!({
            "status": status,
            "writer": self.keyboard.is_some(),
            "columns": size.columns,
            "fresh": self.scrolled == 0,
        });
        if let Some(run) = &self.run {
            let screen = run.screen();
            let (scrolled, rows) = screen.scrolled(self.scrolled);
            self.scrolled = scrolled;
            frame["scrolled"] = rows.into();
            let text = screen.coloured();
            frame["cursor"] = json!(screen.cursor());
            if self.last != text {
                frame["screen"] = text.clone().into();
                self.last = text;
            }
        }
        Some(Message::Text(frame.to_string().into()))
    }
}

/// Sends to who takes it; false when nobody does.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(STALLED, socket.send(message)).await, Ok(Ok(())))
}

/// Waits for something new; for ever where there is nothing.
async fn changed(changes: &mut Option<Changes>) {
    if let Some(changes) = changes
        && changes.next().await
    {
        return;
    }
    std::future::pending::<()>().await;
}
