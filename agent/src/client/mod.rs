//! The client of a server: start codex, send messages, show its output and its
//! terminal.

mod asciicast;
mod export;
mod output;
mod server;
mod terminal;
mod window;

use std::io::{self, Write};

use anyhow::{Result, anyhow, bail};
use futures_util::StreamExt;
use reqwest::Response;
use serde_json::{Map, Value, json};

use self::output::Output;
pub use self::{
    export::{Export, export},
    server::{Machine, Server},
    terminal::terminal,
};
use crate::{signals::EndSignals, terminal_output::escaped_json};

/// Which part of the output is printed, and how.
#[derive(Debug, Clone, Copy)]
pub struct Live {
    /// The first offset; without it, the first that is retained.
    pub offset: Option<u64>,
    /// Whether to go on until the run ends.
    pub follow: bool,
    /// Whether a terminal gets every byte.
    pub raw: bool,
}

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

/// Prints the output of codex: byte for byte, but that a terminal is spared what
/// does not draw, and is left as it was.
///
/// # Errors
///
/// When the server does not answer, or the output is cut; on a terminal also when
/// a signal ends this process.
pub async fn live(server: &Server, options: Live) -> Result<()> {
    let offset = options.offset.map(|offset| format!("offset={offset}"));
    let follow = options.follow.then(|| "follow=1".to_owned());
    let query: Vec<_> = offset.into_iter().chain(follow).collect();
    let answer = server.get(&format!("/live?{}", query.join("&"))).await?;
    let mut output = Output::new(options.raw);
    let printed = if output.is_filtered() {
        let mut signals = EndSignals::listen_with_hangup()?;
        tokio::select! {
            printed = copy(answer, &mut output) => printed,
            () = signals.received() => Err(anyhow!("ended by a signal")),
        }
    } else {
        copy(answer, &mut output).await
    };
    output.end()?;
    printed
}

/// Prints the body of an answer as it comes.
async fn copy(answer: Response, output: &mut Output) -> Result<()> {
    let mut pieces = answer.bytes_stream();
    while let Some(piece) = pieces.next().await {
        match output.write(&piece?) {
            // The reader needs no more, like head.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            printed => printed?,
        }
    }
    Ok(())
}

fn print(value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(writeln!(io::stdout(), "{}", escaped_json(&text))?)
}
