//! Shows codex's terminal in a person's own, and types into it.

use std::{
    io::{self, IsTerminal, Read, Write},
    thread,
};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::{SinkExt, StreamExt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde::Deserialize;
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
    output::write as draw,
    server::Server,
    window::{Window, titled},
};
use crate::{
    serve::screen::{SIZE, Size},
    signals::EndSignals,
    terminal_output::{Filter, Policy},
};

/// Ctrl+], as in telnet.
const DETACH: u8 = 0x1d;

/// The local terminal in raw mode and on its alternate screen. When it is
/// dropped, both are restored.
struct RawMode(Termios);

impl RawMode {
    fn new() -> Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let raw = Self(before);
        // The title of the window is saved, too.
        draw(b"\x1b[22;2t\x1b[?1049h")?;
        Ok(raw)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let restored = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        let drawn = draw(&Filter::new(Policy::READER).end());
        let drawn = drawn.and_then(|()| draw(b"\x1b[?1049l\x1b[23;2t"));
        if let Err(error) = restored.map_err(io::Error::from).and(drawn) {
            tracing::warn!(%error, "cannot restore the terminal");
        }
    }
}

/// Shows codex's terminal and types into it, until Ctrl+]. What the server sends
/// is filtered unless `raw`: it need not be honest.
///
/// # Errors
///
/// When standard input is not a terminal, the server does not answer, or a
/// signal ends this process. The local terminal is restored.
pub async fn terminal(server: &Server, raw: bool) -> Result<()> {
    ensure!(io::stdin().is_terminal(), "agent terminal needs a terminal");
    let (socket, size) = connect(server).await?;
    let mut window = Window::new(size, local(), raw);
    let (mut to_server, mut from_server) = socket.split();
    // From here on a signal must not end this process before the terminal is restored.
    let mut signals = EndSignals::listen_with_hangup()?;
    let mut resized = signal(SignalKind::window_change())?;
    let raw = RawMode::new()?;
    let mut keys = keys();
    let ended = loop {
        tokio::select! {
            typed = keys.recv() => {
                // At the end of standard input nobody can type.
                let Some(typed) = typed else { break Ok("detached") };
                let typed = typed.context("cannot read the terminal")?;
                let detach = typed.iter().position(|byte| *byte == DETACH);
                let bytes = detach.map_or(&typed[..], |detach| &typed[..detach]);
                let sent = to_server.send(Message::binary(bytes.to_vec())).await;
                if detach.is_some() || sent.is_err() {
                    break Ok("detached");
                }
                draw(&window.typed())?;
            }
            message = from_server.next() => match message {
                Some(Ok(Message::Binary(drawn))) => draw(&window.show(&drawn))?,
                Some(Ok(Message::Text(notice))) => draw(&titled(&text_of(&notice)?))?,
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

/// Connects, and learns the size of codex's terminal.
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
    let size = size.with_context(|| format!("{} is no agent: it sends no {SIZE}", server.url))?;
    let size = size.to_str()?.parse();
    let size = size.with_context(|| format!("{} sends a wrong {SIZE}", server.url))?;
    Ok((socket, size))
}

/// The size of the local window, if its terminal reports one.
fn local() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(Size {
        rows: size.ws_row.try_into().ok()?,
        columns: size.ws_col.try_into().ok()?,
    })
}

/// What is typed on the local terminal, read on a thread that ends with the
/// process.
fn keys() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (send, receive) = mpsc::channel(16);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let typed = match io::stdin().read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => Ok(buffer[..read].to_vec()),
                Err(error) => Err(error),
            };
            let is_over = typed.is_err();
            if send.blocking_send(typed).is_err() || is_over {
                return;
            }
        }
    });
    receive
}

/// The text of a notice from the server.
fn text_of(notice: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Notice {
        notice: String,
    }

    let notice = serde_json::from_str::<Notice>(notice);
    Ok(notice
        .context("the server sends a malformed notice")?
        .notice)
}
