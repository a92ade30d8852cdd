//! A WebSocket on which a person watches the terminal, and may type.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{Message, WebSocket};
use serde_json::json;
use tokio::{
    sync::OwnedMutexGuard,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    app::App,
    frames::Frames,
    request::{OwnSize, Request},
};
use crate::serve::{
    keys::KeyFilter,
    session::{Changes, Run},
};

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
    /// The size that this viewer has asked for.
    size: Option<OwnSize>,
    filter: KeyFilter,
    run: Option<Arc<Run>>,
    frames: Frames,
    /// When the next frame may be sent.
    next_frame: Instant,
    /// Whether there is something to send then.
    has_news: bool,
    /// How many pings were sent since the viewer last sent anything.
    unanswered: u32,
}

/// What a viewer is told at once.
type Notice = Option<String>;

impl<'a> Viewer<'a> {
    pub(super) fn new(app: &'a App, may_type: bool, frames: Frames) -> Self {
        let mut viewer = Self {
            app,
            may_type,
            keyboard: None,
            size: None,
            filter: KeyFilter::new(&app.allowed_keys),
            run: app.session.run(),
            frames,
            next_frame: Instant::now(),
            has_news: true,
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
            self.has_news = true;
        }
        self.keyboard.is_some()
    }

    /// Serves the viewer until it disconnects.
    pub(super) async fn serve(mut self, mut socket: WebSocket) {
        // Before the first frame, so that no change is missed.
        let mut changes = self.run.as_ref().map(|run| run.changes());
        while self.send_news(&mut socket).await && self.until_news(&mut socket, &mut changes).await
        {
        }
    }

    /// Sends what is new. Returns false when the viewer has disconnected.
    async fn send_news(&mut self, socket: &mut WebSocket) -> bool {
        self.has_news = false;
        let status = self.app.session.status();
        let state = self.frames.state(&status, self.keyboard.is_some());
        for message in state.into_iter().map(|text| Message::Text(text.into())) {
            if !send(socket, message).await {
                return false;
            }
        }
        while let Some(frame) = self.frames.next(self.run.as_deref()) {
            if !send(socket, frame).await {
                return false;
            }
        }
        self.next_frame = Instant::now() + self.frames.interval();
        self.has_news |= self.frames.is_late();
        true
    }

    /// Types keys until there is something to show. Returns false when the viewer
    /// has disconnected.
    async fn until_news(&mut self, socket: &mut WebSocket, changes: &mut Option<Changes>) -> bool {
        let session = Arc::clone(&self.app.session);
        let run = self.run.clone();
        let next_run = session.next_run(run.as_deref());
        tokio::pin!(next_run);
        loop {
            let lone_escape = self.filter.is_holding();
            tokio::select! {
                message = socket.recv() => {
                    let Some(Ok(message)) = message else { return false };
                    self.unanswered = 0;
                    let notice = self.take(message).await;
                    if !tell(socket, notice).await {
                        return false;
                    }
                }
                () = sleep(ESCAPE_TIMEOUT), if lone_escape => {
                    let escape = self.filter.flush();
                    let notice = self.type_keys(escape).await;
                    if !tell(socket, notice).await {
                        return false;
                    }
                }
                () = changed(changes), if !self.has_news => self.has_news = true,
                () = sleep_until(self.next_frame), if self.has_news => return true,
                run = &mut next_run => {
                    *changes = Some(run.changes());
                    self.run = Some(run);
                    self.frames.restart();
                    self.has_news = true;
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

    /// Takes a message of the viewer: keys, or a request of a page.
    async fn take(&mut self, message: Message) -> Notice {
        match message {
            Message::Binary(bytes) => self.type_message(&bytes).await,
            Message::Text(text) => match Request::parse(&text) {
                Ok(Request::Shown(bytes)) => {
                    self.frames.shown(bytes);
                    self.has_news = true;
                    None
                }
                Ok(Request::Size(size)) => {
                    if self.take_keyboard() {
                        self.size = Some(OwnSize::ask(&self.app.session, size));
                    }
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            _ => None,
        }
    }

    /// Types what a message holds. Returns a notice for the person if a key was not
    /// typed.
    async fn type_message(&mut self, bytes: &[u8]) -> Notice {
        if !self.take_keyboard() {
            return Some("you only watch: somebody else types".to_owned());
        }
        let passed = self.filter.feed(bytes);
        let failed = self.type_keys(passed.bytes).await;
        let dropped: Vec<_> = passed.dropped.iter().map(ToString::to_string).collect();
        let blocked =
            (!dropped.is_empty()).then(|| format!("{} is blocked here", dropped.join(", ")));
        failed.or(blocked)
    }

    /// Types keys. Returns why they could not be typed.
    async fn type_keys(&self, keys: Vec<u8>) -> Notice {
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
}

/// Tells the viewer something, if there is something to tell.
async fn tell(socket: &mut WebSocket, notice: Notice) -> bool {
    let Some(notice) = notice else { return true };
    let text = json!({ "notice": notice }).to_string();
    // To a terminal, text messages are notices and binary ones are the screen.
    send(socket, Message::Text(text.into())).await
}

/// Tells a page that is older than this server what to do.
pub(super) async fn refuse_old(mut socket: WebSocket) {
    let notice = "this page is of an earlier version of the agent: reload it";
    tell(&mut socket, Some(notice.to_owned())).await;
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
