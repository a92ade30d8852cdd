//! `agent terminal`: codex's terminal in a person's own.

use std::{
    io::{self, IsTerminal, Read, Write},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::{SinkExt, StreamExt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::{
    net::TcpStream,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::header::AUTHORIZATION},
};

use super::{
    Server,
    window::{Window, titled},
};
use crate::{
    serve::screen::{SIZE, Size},
    signals::EndSignals,
};

/// Ctrl+], as telnet has it.
const DETACH: u8 = 0x1d;

/// The local terminal in raw mode and on its alternate screen; as it was
/// again when dropped.
struct Raw(Termios);

impl Raw {
    fn new() -> Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let raw = Self(before);
        // The title is kept, too.
        draw(b"\x1b[22;2t\x1b[?1049h")?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _restored = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        let _shown = draw(b"\x1b[0m\x1b[?25h\x1b[?1049l\x1b[23;2t");
    }
}

/// Shows codex's terminal and types into it, until Ctrl+].
///
/// # Errors
///
/// When there is no terminal here, or no server there.
pub async fn terminal(server: &Server) -> Result<()> {
    ensure!(io::stdin().is_terminal(), "agent terminal needs a terminal");
    let (socket, size) = connect(server).await?;
    let mut window = Window::new(size, local());
    let (mut to_server, mut from_server) = socket.split();
    // From here on a signal must not end this process before all is restored.
    let mut signals = EndSignals::listen_with_hangup()?;
    let mut resized = signal(SignalKind::window_change())?;
    let raw = Raw::new()?;
    let mut keys = keys();
    let ended = loop {
        tokio::select! {
            typed = keys.recv() => {
                let typed = typed.unwrap_or_else(|| vec![DETACH]);
                let end = typed.iter().position(|byte| *byte == DETACH);
                let bytes = typed[..end.unwrap_or(typed.len())].to_vec();
                let sent = to_server.send(Message::binary(bytes)).await;
                if end.is_some() || sent.is_err() {
                    break Ok("detached");
                }
                draw(&window.typed())?;
            }
            message = from_server.next() => match message {
                Some(Ok(Message::Binary(drawn))) => draw(&window.show(&drawn))?,
                Some(Ok(Message::Text(notice))) => draw(&titled(&text_of(&notice)))?,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break Ok("the server is gone"),
            },
            _ = resized.recv() => draw(&window.resized(local()))?,
            () = signals.received() => break Err(anyhow!("ended by a signal")),
        }
    };
    drop(raw);
    writeln!(io::stderr(), "{}", ended?)?;
    Ok(())
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A connection, and how large codex's terminal is.
async fn connect(server: &Server) -> Result<(Socket, Size)> {
    let url = server.url.replacen("http", "ws", 1) + "/terminal?format=ansi";
    let mut request = url.into_client_request()?;
    if let Some(token) = &server.token {
        request
            .headers_mut()
            .insert(AUTHORIZATION, format!("Bearer {token}").parse()?);
    }
    request.headers_mut().extend(server.machine()?);
    let connected = connect_async(request).await;
    let connected = connected.with_context(|| format!("cannot reach {}", server.url));
    let (socket, answer) = server.pinned(connected)?;
    let size = answer.headers().get(SIZE);
    let size = size.and_then(|size| size.to_str().ok()?.parse().ok());
    let size = size.with_context(|| format!("{} is no agent: it has no {SIZE}", server.url))?;
    Ok((socket, size))
}

/// How large the window here is, if it says so.
fn local() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(Size {
        rows: size.ws_row.try_into().ok()?,
        columns: size.ws_col.try_into().ok()?,
    })
}

/// What is typed here, read on a thread that ends with the process.
fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel(16);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read @ 1..) = io::stdin().read(&mut buffer) {
            if send.blocking_send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    receive
}

fn draw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(bytes)?;
    out.flush()
}

/// What the server tells the person.
fn text_of(notice: &str) -> String {
    let notice = serde_json::from_str::<serde_json::Value>(notice).unwrap_or_default();
    notice["notice"].as_str().unwrap_or_default().to_owned()
}
