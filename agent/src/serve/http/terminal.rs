//! `/terminal` and `/live/view`: the terminal as it is now, and the keys of
//! one person at a time.
//!
//! Nothing of the program's own output is sent, only what the screen makes of
//! it: text and colours. So neither a page nor a person's terminal obeys what
//! codex, or something it has read, puts out.

use axum::{
    extract::{
        Query, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use serde::Deserialize;

use super::{App, viewer::Viewer};
use crate::serve::screen::SIZE;

const PAGE: &str = include_str!("terminal.html");

/// Nobody types more at once: a larger paste comes in pieces.
const LONGEST_INPUT: usize = 4 << 20;

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
    let Ok(upgrade) = upgrade else {
        return page(&app, "terminal");
    };
    let size = app.session.size().to_string();
    let upgrade = upgrade.max_message_size(LONGEST_INPUT);
    let mut response = upgrade.on_upgrade(async move |socket| {
        let ansi = ask.format.as_deref() == Some("ansi");
        let _watching = app.session.watch();
        let viewer = Viewer::new(&app, ask.watch.is_none(), ansi);
        viewer.serve(socket).await;
    });
    if let Ok(size) = size.parse() {
        response.headers_mut().insert(SIZE, size);
    }
    response
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
