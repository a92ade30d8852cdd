//! `agent coordinator`: wakes the machine that a request is for, and has the
//! request replayed there. It keeps nothing: what is true stands in the
//! Machines API, as names and metadata, so that several of it may run.
//!
//! ```text
//! request ─► routes ─► target ─► ensure ─► replay   the proxy sends it there
//!                      (pick)      │   └─► proxy    or we do, as a stream
//!            manage ───────────────┤
//!            promote, sweep, roll ─┴─► machines ─► the API
//! ```

mod agents;
mod ensure;
mod flights;
mod manage;
mod metadata;
mod pick;
mod promote;
mod proxy;
mod replay;
mod roll;
mod routes;
mod sweep;
mod target;
mod wanted;

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tracing::info;

use self::{
    agents::Agents, ensure::Waker, pick::Picker, promote::Promoter, roll::Gently, routes::router,
};
use crate::{
    cli::coordinator::Coordinator, fly::Client, signals::EndSignals, token::MachineTokens,
};

/// What every route knows.
#[derive(Debug)]
struct App {
    client: Client,
    agents: Arc<Agents>,
    waker: Arc<Waker>,
    picker: Arc<Picker>,
    promoter: Promoter,
    gently: Gently,
    patience: Duration,
}

impl App {
    fn new(args: &Coordinator) -> Result<Arc<Self>> {
        let client = args.api.client()?;
        let agents = Agents::new(MachineTokens::new(&args.grant_key()?), args.agent_port)?;
        let agents = Arc::new(agents);
        let patience = Duration::from_secs(args.patience);
        let waker = Waker::new(client.clone(), Arc::clone(&agents), patience);
        let picker = Picker::new(client.clone(), args.template.clone(), patience);
        let promoter = Promoter::new(args, Arc::clone(&agents))?;
        Ok(Arc::new(Self {
            client,
            agents,
            waker: Arc::new(waker),
            picker: Arc::new(picker),
            promoter,
            gently: Gently {
                idle: Duration::from_secs(args.roll_idle),
                drain: Duration::from_secs(args.drain),
            },
            patience,
        }))
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// A sentence for the person who started it.
pub async fn coordinate(args: &Coordinator) -> Result<()> {
    let app = App::new(args)?;
    let router = router(&app, args.access()?, args.manager()?);
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("--listen {}", args.listen))?;
    let mut out = io::stdout();
    writeln!(
        out,
        "coordinating {} on http://{}",
        args.api.app,
        listener.local_addr()?
    )?;
    out.flush()?;
    let sweeping = tokio::spawn(sweep::sweep(
        Arc::clone(&app),
        Duration::from_secs(args.sweep),
        Duration::from_secs(args.idle_stop),
    ));
    let (told, mut ending) = watch::channel(false);
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        // The sender outlives the server.
        drop(ending.wait_for(|ending| *ending).await);
    });
    let server = tokio::spawn(async move { server.await });
    EndSignals::listen()?.received().await;
    info!("told to end");
    sweeping.abort();
    told.send_replace(true);
    // Those who wait for a machine may wait on; streams have no end of their own.
    match timeout(app.patience, server).await {
        Ok(over) => Ok(over??),
        Err(_) => Ok(()),
    }
}
