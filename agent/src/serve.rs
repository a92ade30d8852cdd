//! `agent serve`: from the command line to a running server.

use std::{
    io::{self, Write},
    sync::Arc,
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
    args::Serve,
    http::{App, router},
    mcp::Tools,
    pty::become_subreaper,
    session::{Session, State},
};

/// How long open connections may take when the server ends.
const DRAIN: Duration = Duration::from_secs(3);
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
    let ended = end(Arc::clone(&session), args.idle_exit());
    let served = if args.stdio {
        serve_stdio(&session, ended).await
    } else {
        let app = App {
            session: Arc::clone(&session),
            access: Arc::new(access),
            allowed_keys: args.allow_key.clone().into(),
            keyboard: Arc::default(),
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
    let mut out = io::stdout();
    writeln!(
        out,
        "serving http://{address}/mcp, http://{address}/live and http://{address}/terminal"
    )?;
    if app.access.token.is_none() {
        writeln!(
            out,
            "  without a token: everybody on this machine may call, and nobody else"
        )?;
    }
    out.flush()?;
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

/// SIGTERM, SIGINT, or nothing to do for so long.
async fn end(session: Arc<Session>, idle_exit: Option<Duration>) {
    let terminate = told(SignalKind::terminate());
    let interrupt = told(SignalKind::interrupt());
    tokio::select! {
        () = terminate => info!("told to end"),
        () = interrupt => info!("told to end"),
        () = idle(&session, idle_exit) => info!("idle for long enough"),
    }
}

async fn told(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            warn!(%error, "cannot listen to a signal");
            std::future::pending::<()>().await;
        }
    }
}

async fn idle(session: &Session, patience: Option<Duration>) {
    let Some(patience) = patience else {
        return std::future::pending::<()>().await;
    };
    loop {
        match session.idle_since() {
            Some(since) if since.elapsed() >= patience => return,
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
