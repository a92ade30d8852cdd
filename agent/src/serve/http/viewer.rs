//! A WebSocket on which a person watches the terminal, and may type.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{Message, WebSocket};
use serde_json::json;
use tokio::{
    sync::OwnedMutexGuard,
    time::{sleep, timeout},
};
use vt100::Screen as Vt;

use super::app::App;
use crate::serve::{
    keys::KeyFilter,
    session::{Changes, Run},
};

/// How often a viewer gets a new frame at most.
const FRAME_INTERVAL: Duration = Duration::from_millis(40);
/// How long after an Escape the rest of a sequence may follow.
const ESCAPE_TIMEOUT: Duration = Duration::from_millis(40);
/// How often a ping is sent: proxies close silent connections.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long a viewer may take to accept a message before it is disconnected.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// How many pings in a row may stay unanswered before a viewer is disconnected.
const MAX_UNANSWERED: u32 = 3;

/// A person who watches the terminal, and may type.
pub(super) struct Viewer<'a> {
    app: &'a App,
    may_type: bool,
    /// The keyboard, if this viewer has it.
    keyboard: Option<OwnedMutexGuard<()>>,
    filter: KeyFilter,
    ansi: bool,
    run: Option<Arc<Run>>,
    /// The screen as it was last drawn.
    shown: Option<Vt>,
    /// How many of the rows that scrolled off the screen were sent.
    scrolled: u64,
    /// The text that was last sent.
    last: String,
    /// How many pings were sent since the viewer last sent anything.
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

    /// Takes the keyboard if it is free. Returns whether this viewer has it.
    fn take_keyboard(&mut self) -> bool {
        if self.may_type && self.keyboard.is_none() {
            // While another viewer has it, it stays there.
            self.keyboard = Arc::clone(&self.app.keyboard).try_lock_owned().ok();
        }
        self.keyboard.is_some()
    }

    /// Serves the viewer until it disconnects.
    pub(super) async fn serve(mut self, mut socket: WebSocket) {
        // Before the first frame, so that no change is missed.
        let mut changes = self.run.as_ref().map(|run| run.changes());
        loop {
            let frame = self.frame();
            if !send(&mut socket, frame).await {
                return;
            }
            sleep(FRAME_INTERVAL).await;
            if !self.until_change(&mut socket, &mut changes).await {
                return;
            }
        }
    }

    /// Types keys until there is something to show. Returns false when the viewer
    /// has disconnected.
    async fn until_change(
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
                        if let Some(notice) = self.type_message(message).await
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
                () = sleep(ESCAPE_TIMEOUT), if lone_escape => {
                    let escape = self.filter.flush();
                    if let Some(notice) = self.type_keys(escape).await
                        && !send(socket, Self::notice(&notice)).await
                    {
                        return false;
                    }
                }
                () = changed(changes) => return true,
                run = &mut next_run => {
                    *changes = Some(run.changes());
                    (self.run, self.shown, self.scrolled) = (Some(run), None, 0);
                    return true;
                }
                () = sleep(PING_INTERVAL) => {
                    self.unanswered += 1;
                    let ping = Message::Ping(Vec::new().into());
                    if self.unanswered > MAX_UNANSWERED || !send(socket, ping).await {
                        return false;
                    }
                }
            }
        }
    }

    /// Types what a message holds. Returns a notice for the person if a key was not
    /// typed.
    async fn type_message(&mut self, message: Message) -> Option<String> {
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

    /// Types keys. Returns why they could not be typed.
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
        // To a terminal, text messages are notices and binary ones are the screen.
        Message::Text(text.into())
    }

    fn frame(&mut self) -> Message {
        if self.ansi {
            self.ansi_frame()
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

    fn json_frame(&mut self) -> Message {
        let status = self.app.session.status();
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
        Message::Text(frame.to_string().into())
    }
}

/// Sends a message. Returns false when the viewer does not accept it.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(
        timeout(SEND_TIMEOUT, socket.send(message)).await,
        Ok(Ok(()))
    )
}

/// Waits for something new about the run; for ever when there will be nothing.
async fn changed(changes: &mut Option<Changes>) {
    if let Some(changes) = changes
        && changes.next().await
    {
        return;
    }
    std::future::pending::<()>().await;
}
