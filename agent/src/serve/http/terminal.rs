//! `/terminal` and `/live/view`: the terminal as it is now, and the keys of
//! one person at a time.
//!
//! The program's own output is not sent, only the text and colours that it
//! leaves on the screen. So no escape sequence that codex puts out, or has read
//! somewhere, reaches a page or a person's terminal.

use axum::{
    extract::{
        Query, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use serde::Deserialize;

use super::{app::App, viewer::Viewer};
use crate::serve::screen::SIZE;

const PAGE: &str = include_str!("terminal.html");

/// The longest message of a WebSocket in bytes; clients send a larger paste in
/// pieces.
const MAX_INPUT: usize = 4 << 20;

/// The query of a request.
#[derive(Debug, Deserialize)]
pub(super) struct TerminalQuery {
    /// `ansi` for a terminal, else JSON for a page.
    format: Option<String>,
    /// Whether only to watch: any value.
    watch: Option<String>,
}

/// The page that only shows the terminal.
pub(super) async fn view_page(State(app): State<App>) -> Response {
    page(&app, "view")
}

/// The page for a browser, or the WebSocket for the page.
pub(super) async fn terminal(
    State(app): State<App>,
    Query(query): Query<TerminalQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return page(&app, "terminal");
    };
    let size = app.session.size().to_string();
    let upgrade = upgrade.max_message_size(MAX_INPUT);
    let mut response = upgrade.on_upgrade(async move |socket| {
        let ansi = query.format.as_deref() == Some("ansi");
        let _watching = app.session.watch();
        let viewer = Viewer::new(&app, query.watch.is_none(), ansi);
        viewer.serve(socket).await;
    });
    let size = HeaderValue::try_from(size).expect("a size is ASCII");
    response.headers_mut().insert(SIZE, size);
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
    if let Some(cookie) = app.access.cookie() {
        let cookie = HeaderValue::try_from(cookie).expect("a token is visible ASCII");
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}
