//! `agent serve`: MCP, `/live` and `/terminal` for one codex.

pub mod codex;
pub mod http;
mod idle;
pub mod keys;
pub mod mcp;
pub mod osc;
pub mod output_log;
pub mod pty;
pub mod recent;
mod run_as;
pub mod screen;
pub mod session;
mod snapshot;
pub mod text;

use std::{
    convert::Infallible,
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::{Context, Result};
use rmcp::{ServiceExt, transport::stdio};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::timeout,
};
use tracing::{info, warn};

pub use self::run_as::RunAs;
use self::{
    codex::{Program, Version},
    http::{App, router},
    idle::idle_for,
    keys::Key,
    mcp::Tools,
    pty::become_subreaper,
    session::{Session, State},
};
use crate::{http_access::Access, http_server, signals::EndSignals};

/// How long open connections may take to end after codex has ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// The options of a server.
#[derive(Debug)]
pub struct Options {
    /// The options of its session.
    pub session: session::Options,
    /// Where MCP is spoken.
    pub transport: Transport,
    /// The id of this machine, if a coordinator sends requests to it.
    pub machine: Option<String>,
    /// How long the server may be idle before it ends; without it, for ever.
    pub idle_exit: Option<Duration>,
    /// Keys that people may type although they are blocked by default.
    pub allowed_keys: Vec<Key>,
}

/// Where MCP is spoken.
#[derive(Debug)]
pub enum Transport {
    /// On standard input and output.
    Stdio,
    /// Over HTTP.
    Http {
        /// The address to listen on.
        listen: SocketAddr,
        /// Who may call.
        access: Box<Access>,
        /// The token that was made for this server alone, to be shown once.
        token: Option<String>,
    },
}

/// Serves until SIGTERM or SIGINT, or until it has been idle for long enough;
/// then ends codex.
///
/// # Errors
///
/// When the directory of the logs or the address cannot be used.
pub async fn serve(mut options: Options) -> Result<()> {
    // What codex runs may have our user id: it is not to read our memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot set PR_SET_DUMPABLE")?;
    options.session.version = version(&options.session.program).await;
    let logs = options.session.logs.clone();
    let session = Session::new(options.session);
    let session = session.with_context(|| format!("--log-dir {}", logs.display()))?;
    become_subreaper().context("cannot become a subreaper")?;
    let children = signal(SignalKind::child()).context("cannot listen for SIGCHLD")?;
    tokio::spawn(reap_children(Arc::clone(&session), children));
    let signals = EndSignals::listen().context("cannot listen for SIGTERM and SIGINT")?;
    let ending = Arc::<AtomicBool>::default();
    let ended = end(
        signals,
        Arc::clone(&session),
        options.idle_exit,
        Arc::clone(&ending),
    );
    let served = match options.transport {
        Transport::Stdio => serve_stdio(&session, ended).await,
        Transport::Http {
            listen,
            access,
            token,
        } => {
            let app = App {
                session: Arc::clone(&session),
                access: Arc::from(access),
                allowed_keys: options.allowed_keys.into(),
                keyboard: Arc::default(),
                machine: options.machine.map(Into::into),
                sessions: logs.join("mcp-sessions"),
                ending,
            };
            serve_http((listen, token), app, ended).await
        }
    };
    if session.status().state != State::None {
        session.stop().await;
    }
    served
}

/// The version of codex, if that is what is to run. A warning says when nobody has tried
/// it; it runs in any case.
async fn version(program: &Program) -> Option<Version> {
    let version = program.version().await?;
    if let Some(warning) = version.warning() {
        warn!("{warning}");
    } else {
        info!(version = version.name(), "codex");
    }
    Some(version)
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
    (listen, token): (SocketAddr, Option<String>),
    app: App,
    ended: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("--listen {listen}"))?;
    let address = listener.local_addr()?;
    announce(address, token);
    let session = Arc::clone(&app.session);
    let (stopping, stopped) = oneshot::channel::<Infallible>();
    let server = http_server::serve(listener, router(app), async move {
        ended.await;
        // With the run, the responses of those who follow it end.
        session.stop().await;
        drop(stopping);
    });
    tokio::pin!(server);
    tokio::select! {
        () = &mut server => return Ok(()),
        _ = stopped => {}
    }
    // WebSockets and MCP streams do not end by themselves.
    if timeout(DRAIN_TIMEOUT, server).await.is_err() {
        info!("ending with open streams");
    }
    Ok(())
}

/// Prints the addresses, with the token that was made; nothing else has it.
fn announce(address: SocketAddr, token: Option<String>) {
    let has_own = token.is_none();
    let query = token.map_or_else(String::new, |token| format!("?token={token}"));
    let url = |path| format!("http://{address}/{path}{query}");
    let (mcp, live, terminal) = (url("mcp"), url("live"), url("terminal"));
    let mut message = format!("serving {mcp}, {live} and {terminal}\n");
    if !has_own {
        message += "  whoever has such a URL may call, nobody else, until this ends; --token-file FILE keeps a token\n";
    }
    let mut out = io::stdout();
    if let Err(error) = out.write_all(message.as_bytes()).and_then(|()| out.flush()) {
        warn!(%error, "cannot print the address");
    }
}

/// Waits for SIGTERM or SIGINT, or until the server was idle for long enough.
async fn end(
    mut signals: EndSignals,
    session: Arc<Session>,
    idle_exit: Option<Duration>,
    ending: Arc<AtomicBool>,
) {
    tokio::select! {
        () = signals.received() => info!("a signal asks to end"),
        () = idle_for(&session, idle_exit, &ending) => info!("idle for long enough"),
    }
}

/// Reaps orphans, and continues codex when it is stopped. Every change of a
/// child is a SIGCHLD.
async fn reap_children(session: Arc<Session>, mut children: Signal) {
    while children.recv().await.is_some() {
        if session.reaper().continue_stopped() {
            warn!("codex was stopped: it is continued");
        }
        if let Err(error) = session.reaper().reap() {
            warn!(%error, "cannot look for children that have ended");
        }
    }
}
