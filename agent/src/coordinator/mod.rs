//! `agent coordinator`: wakes the machine that a request is for, and has Fly's
//! proxy replay the request there. It has no state of its own: names and
//! metadata in the Machines API hold everything, so that several coordinators
//! may run side by side.
//!
//! ```text
//! request ─► routes ─► target ─► waker ─► replay   Fly's proxy sends it to the machine,
//!                     (picker)     │  └─► proxy    or the coordinator does, as a stream
//!            manage ───────────────┤
//!         promote, sweep, roll ────┴─► fly ─► the Machines API
//! ```

mod agents;
mod app;
mod error;
mod image;
mod manage;
mod metadata;
mod options;
mod page;
mod picker;
mod promote;
mod proxy;
mod replaced;
mod replay;
mod roll;
mod routes;
mod single_flight;
mod spec;
mod sweep;
mod target;
mod waker;

use std::{
    io::{self, Write},
    sync::Arc,
};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tracing::info;

use self::{app::App, routes::router};
pub use self::{options::Options, roll::RollPolicy};
use crate::{http_server, signals::EndSignals};

/// Serves until SIGTERM or SIGINT, then lets requests finish for as long as one
/// may wait for a machine.
///
/// # Errors
///
/// When the address cannot be bound, or TLS for outgoing requests cannot be set up.
pub async fn coordinate(options: Options) -> Result<()> {
    let app = App::new(&options)?;
    let router = router(&app, options.callers, options.managers);
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", options.listen))?;
    let mut signals = EndSignals::listen()?;
    let mut out = io::stdout();
    let token = options.made_token.as_ref();
    let query = token.map_or_else(String::new, |token| format!("/?token={token}"));
    writeln!(
        out,
        "coordinating {} on http://{}{query}",
        options.agents.app(),
        listener.local_addr()?
    )?;
    out.flush()?;
    let sweep = options.sweep_interval.map(|interval| {
        let app = Arc::clone(&app);
        tokio::spawn(sweep::sweep(app, interval, options.idle_stop))
    });
    let (end, mut ending) = watch::channel(false);
    let server = tokio::spawn(http_server::serve(listener, router, async move {
        // Cannot fail: the sender outlives the server.
        drop(ending.wait_for(|ending| *ending).await);
    }));
    signals.received().await;
    info!("ending: SIGTERM or SIGINT");
    if let Some(sweep) = sweep {
        sweep.abort();
    }
    end.send_replace(true);
    let Ok(ended) = timeout(options.request_timeout, server).await else {
        info!("ending with open streams");
        return Ok(());
    };
    Ok(ended?)
}
