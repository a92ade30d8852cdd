//! `/terminal` and `/live/view`: the terminal as it is now, and the keys of
//! one person at a time.
//!
//! Nothing of the program's own output is sent, only what the screen makes of
//! it: text and colours. So neither a page nor a person's terminal obeys what
//! codex, or something it has read, puts out.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::OwnedMutexGuard,
    time::{sleep, timeout},
};
use vt100::Screen as Vt;

use super::App;
use crate::{
    keys::KeyFilter,
    session::{Changes, Run},
};

const PAGE: &str = include_str!("terminal.html");

/// At most so often a viewer gets a new picture.
const BETWEEN_FRAMES: Duration = Duration::from_millis(40);
/// A lone Escape is a key when nothing has followed for so long.
const ESCAPE_WAIT: Duration = Duration::from_millis(40);
/// Proxies cut what is silent.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// A viewer that takes nothing for so long is let go.
const STALLED: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    /// `ansi` for a terminal, else JSON for a page.
    format: Option<String>,
    /// Only to look.
    watch: Option<String>,
}

pub(super) async fn view_page(State(app): State<App>) -> Response {
    page(&app, "view")
}

/// The page for a browser, the WebSocket for the page.
pub(super) async fn terminal(
    State(app): State<App>,
    Query(ask): Query<Ask>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade.on_upgrade(async move |socket| {
            let keyboard = match ask.watch {
                Some(_) => None,
                None => Arc::clone(&app.keyboard).try_lock_owned().ok(),
            };
            let ansi = ask.format.as_deref() == Some("ansi");
            let _watching = app.session.watch();
            Viewer::new(&app, keyboard, ansi).serve(socket).await;
        }),
        Err(_) => page(&app, "terminal"),
    }
}

fn page(app: &App, mode: &str) -> Response {
    let mut response = Html(PAGE.replace("MODE", mode)).into_response();
    let headers = response.headers_mut();
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let cookie = app.access.cookie().and_then(|cookie| cookie.parse().ok());
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Somebody who looks, and may type.
struct Viewer<'a> {
    app: &'a App,
    keyboard: Option<OwnedMutexGuard<()>>,
    filter: KeyFilter,
    ansi: bool,
    run: Option<Arc<Run>>,
    shown: Option<Vt>,
    /// How many rows that left the screen were sent.
    scrolled: u64,
    last: String,
}

impl<'a> Viewer<'a> {
    fn new(app: &'a App, keyboard: Option<OwnedMutexGuard<()>>, ansi: bool) -> Self {
        Self {
            app,
            keyboard,
            filter: KeyFilter::new(&app.allowed_keys),
            ansi,
            run: app.session.run(),
            shown: None,
            scrolled: 0,
            last: String::new(),
        }
    }

    async fn serve(mut self, mut socket: WebSocket) {
        // Before the first frame: nothing new may be missed.
        let mut changes = self.run.as_ref().map(|run| run.changes());
        loop {
            let Some(frame) = self.frame() else { return };
            if !matches!(timeout(STALLED, send(&mut socket, frame)).await, Ok(true)) {
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
                        if let Some(notice) = self.take(message).await
                            && !send(socket, Self::notice(&notice)).await
                        {
                            return false;
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
                    if !send(socket, Message::Ping(Vec::new().into())).await {
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
        if self.keyboard.is_none() {
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

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    socket.send(message).await.is_ok()
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
