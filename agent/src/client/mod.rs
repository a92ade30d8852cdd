//! The client of a server: start codex, send messages, show its output and its
//! terminal.

mod server;
mod terminal;
mod window;

use std::io::{self, Write};

use anyhow::{Result, bail};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

pub use self::{
    server::{Machine, Server},
    terminal::terminal,
};

/// Starts codex, and prints its status.
///
/// # Errors
///
/// When the server does not answer, or codex is not ready; the error then holds
/// what its screen shows.
pub async fn start(server: &Server, resume: bool) -> Result<()> {
    let arguments = Map::from_iter([("resume".to_owned(), resume.into())]);
    print(&server.call("start", arguments).await?)
}

/// Sends a message, and prints what became of it.
///
/// # Errors
///
/// When the server does not answer, or the message was not submitted; what is
/// printed then holds what the screen shows.
pub async fn message(server: &Server, text: String) -> Result<()> {
    let arguments = Map::from_iter([("text".to_owned(), text.into())]);
    let sent = server.call("message", arguments).await?;
    print(&sent)?;
    if sent["submitted"] != json!(true) {
        bail!("it was not submitted");
    }
    Ok(())
}

/// Prints the status of codex.
///
/// # Errors
///
/// When the server does not answer.
pub async fn status(server: &Server) -> Result<()> {
    let answer = server.get("/status").await?;
    print(&serde_json::from_slice(&answer.bytes().await?)?)
}

/// Prints the output of codex, byte for byte.
///
/// # Errors
///
/// When the server does not answer, or the output is cut.
pub async fn live(server: &Server, offset: Option<u64>, follow: bool) -> Result<()> {
    let offset = offset.map(|offset| format!("offset={offset}"));
    let follow = follow.then(|| "follow=1".to_owned());
    let query: Vec<_> = offset.into_iter().chain(follow).collect();
    let answer = server.get(&format!("/live?{}", query.join("&"))).await?;
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let mut out = io::stdout();
        let printed = out.write_all(&piece?).and_then(|()| out.flush());
        match printed {
            // The reader needs no more, like head.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed?,
        }
    }
    Ok(())
}

fn print(value: &Value) -> Result<()> {
    Ok(writeln!(
        io::stdout(),
        "{}",
        serde_json::to_string_pretty(value)?
    )?)
}
