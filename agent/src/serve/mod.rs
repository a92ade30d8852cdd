//! `agent serve`: from the command line to a running server.

pub mod codex;
pub mod http;
pub mod keys;
pub mod mcp;
pub mod osc;
pub mod output_log;
pub mod pty;
pub mod screen;
pub mod session;
pub mod text;

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use rmcp::{ServiceExt, transport::stdio};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{info, warn};

use crate::{
    cli::Serve,
    serve::http::{App, router},
    serve::mcp::Tools,
    serve::pty::become_subreaper,
    serve::session::{Session, State},
    signals::EndSignals,
};

/// How long open connections may take when the server ends.
const DRAIN: Duration = Duration::from_secs(3);
/// For how long it is said beforehand that an idle server ends.
const NOTICE: Duration = Duration::from_secs(3);
/// How often idleness is looked at.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT, or until it has been idle for long enough;
/// then ends codex.
///
/// # Errors
///
/// A sentence for the person who started it.
pub async fn serve(args: &Serve) -> Result<()> {
    let (options, access) = (args.options()?, args.access()?);
    let logs = options.logs.clone();
    let session = Session::new(options);
    let session = session.with_context(|| format!("--log-dir {}", logs.display()))?;
    become_subreaper().context("cannot become a subreaper")?;
    tokio::spawn(tend_children(Arc::clone(&session)));
    let ending = Arc::new(AtomicBool::new(false));
    let signals = EndSignals::listen().context("cannot listen to signals")?;
    let ended = end(
        signals,
        Arc::clone(&session),
        args.idle_exit(),
        Arc::clone(&ending),
    );
    let served = if args.stdio {
        serve_stdio(&session, ended).await
    } else {
        let app = App {
            session: Arc::clone(&session),
            access: Arc::new(access),
            allowed_keys: args.allow_key.clone().into(),
            keyboard: Arc::default(),
            machine: args.machine_id.as_ref().map(|id| id.as_str().into()),
            ending,
        };
        serve_http(args, app, ended).await
    };
    if session.status().state != State::None {
        session.stop().await;
    }
    served
}

async fn serve_stdio(session: &Arc<Session>, ended: impl Future<Output = ()>) -> Result<()> {
    let service = Tools::new(Arc::clone(session)).serve(stdio()).await?;
    tokio::select! {
        quit = service.waiting() => { quit?; }
        () = ended => {}
    }
    Ok(())
}

async fn serve_http(
    args: &Serve,
    app: App,
    ended: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("--listen {}", args.listen))?;
    let address = listener.local_addr()?;
    announce(address, app.access.token.is_some());
    let session = Arc::clone(&app.session);
    let (told, ending) = oneshot::channel();
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(async move {
        ended.await;
        // Whoever follows is let go when the run ends.
        session.stop().await;
        let _told = told.send(());
    });
    let server = async { server.await };
    tokio::pin!(server);
    tokio::select! {
        over = &mut server => return Ok(over?),
        _ = ending => {}
    }
    // WebSockets and MCP streams have no end of their own.
    match timeout(DRAIN, server).await {
        Ok(over) => Ok(over?),
        Err(_) => Ok(()),
    }
}

/// Says where to call, and who may.
fn announce(address: SocketAddr, with_token: bool) {
    let mut told = format!(
        "serving http://{address}/mcp, http://{address}/live and http://{address}/terminal\n"
    );
    if !with_token {
        told += "  without a token: everybody on this machine may call, and nobody else\n";
    }
    let mut out = io::stdout();
    // Whoever has closed it does not want to know.
    let _told = out.write_all(told.as_bytes()).and_then(|()| out.flush());
}

/// SIGTERM, SIGINT, or nothing to do for so long.
async fn end(
    mut signals: EndSignals,
    session: Arc<Session>,
    idle_exit: Option<Duration>,
    ending: Arc<AtomicBool>,
) {
    tokio::select! {
        () = signals.received() => info!("a signal asks to end"),
        () = idle(&session, idle_exit, &ending) => info!("idle for long enough"),
    }
}

/// Comes back when nothing has gone on for so long. Before that, `/readyz` says
/// for a while that it is about to: a coordinator sends nobody here any more,
/// and whoever was on the way keeps it from ending.
async fn idle(session: &Session, patience: Option<Duration>, ending: &AtomicBool) {
    let Some(patience) = patience else {
        return std::future::pending::<()>().await;
    };
    loop {
        match session.idle_since() {
            Some(since) if since.elapsed() >= patience => {
                ending.store(true, Ordering::SeqCst);
                sleep(NOTICE).await;
                if session.idle_since() == Some(since) {
                    return;
                }
                ending.store(false, Ordering::SeqCst);
            }
            Some(since) => {
                sleep_until((since + patience).min(Instant::now() + 60 * IDLE_LOOK)).await;
            }
            None => sleep(IDLE_LOOK).await,
        }
    }
}

/// Collects orphans, and continues codex should it be stopped. Every change
/// of a child is a SIGCHLD.
async fn tend_children(session: Arc<Session>) {
    let Ok(mut children) = signal(SignalKind::child()) else {
        return;
    };
    while children.recv().await.is_some() {
        if session.reaper().wake() {
            warn!("codex was stopped: it goes on");
        }
        session.reaper().reap();
    }
}
