//! `/terminal` and `/live/view`: the terminal as it is now, and the keys of
//! one person at a time.
//!
//! What reaches a page is what the program puts out, without the sequences that act on
//! anything but the screen, or ask for an answer. The page is `agent/web`, if this
//! program was built with it, and else the text on the screen.

use axum::{
    extract::{
        Query, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderValue, Uri},
    response::Response,
};
use serde::Deserialize;

use super::{
    app::App,
    frames::Frames,
    page::terminal_page,
    viewer::{Viewer, refuse_old},
};
use crate::{pages::Page, serve::screen::SIZE};

/// The longest message of a WebSocket in bytes; clients send a larger paste in
/// pieces.
const MAX_INPUT: usize = 4 << 20;

/// The query of a request.
#[derive(Debug, Deserialize)]
pub(super) struct TerminalQuery {
    /// What the client understands; a page of 0.1.0 does not say.
    format: Option<Format>,
    /// Whether only to watch: any value.
    watch: Option<String>,
}

/// What is sent over a WebSocket; see [`super::frames`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Format {
    /// What is to be drawn on a terminal.
    #[serde(rename = "ansi")]
    Ansi,
    /// A snapshot, and the output since. What a later version changes gets another name.
    #[serde(rename = "output-1")]
    Output,
}

/// The page that only shows the terminal.
pub(super) async fn view_page(State(app): State<App>, uri: Uri) -> Response {
    terminal_page(&app, Page::View, &uri)
}

/// The page for a browser, or the WebSocket for the page.
pub(super) async fn terminal(
    State(app): State<App>,
    Query(query): Query<TerminalQuery>,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return terminal_page(&app, Page::Terminal, &uri);
    };
    let size = app.session.size();
    let upgrade = upgrade.max_message_size(MAX_INPUT);
    let mut response = upgrade.on_upgrade(async move |socket| {
        let frames = match query.format {
            Some(Format::Ansi) => Frames::of_terminal(size),
            Some(Format::Output) => Frames::of_page(),
            None => return refuse_old(socket).await,
        };
        let _watching = app.session.watch();
        let viewer = Viewer::new(&app, query.watch.is_none(), frames);
        viewer.serve(socket).await;
    });
    let size = HeaderValue::try_from(size.to_string()).expect("a size is ASCII");
    response.headers_mut().insert(SIZE, size);
    response
}
