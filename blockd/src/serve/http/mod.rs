//! `serve --http`: what one can see of a server from outside, for people and for
//! monitoring. It shows the names of the exports that are open, and no paths.
//!
//! ```text
//! connections ─► site ─┬─ /metrics   metrics   ─┐
//!                      ├─ /exports   exports    ├─► figures of blockd_nbd and of the catalog
//!                      ├─ /          page      ─┘
//!                      ├─ /readyz    readiness ───► --repos, --state
//!                      └─ /healthz
//! ```

mod callers;
mod connections;
mod exports;
mod metrics;
mod page;
mod readiness;
mod response;
mod site;
mod watched;

use std::{io, sync::Arc, time::SystemTime};

use blockd_nbd::server::{BindError, Bound, Listener, Watch};

pub(super) use self::readiness::Readiness;
use self::{
    callers::Callers,
    site::Site,
    watched::{OneAtATime, Watched},
};
use super::catalog::Catalog;

/// Where a server shows itself, and to how many at once.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// `HOST:PORT`.
    pub address: String,
    /// How many connections may be open.
    pub connections: usize,
}

/// Listens, and does not answer yet.
#[derive(Debug)]
pub(super) struct Http {
    listeners: Vec<Listener>,
    callers: Callers,
}

impl Http {
    /// Binds the address.
    ///
    /// # Errors
    ///
    /// As [`Listener::bind_tcp`].
    pub(super) async fn bind(options: &HttpOptions) -> Result<Self, BindError> {
        Ok(Self {
            listeners: Listener::bind_tcp(&options.address).await?,
            callers: Callers::new(options.connections),
        })
    }

    /// Says on standard output where it listens.
    ///
    /// # Errors
    ///
    /// As writing does.
    pub(super) fn announce(&self, out: &mut impl io::Write) -> io::Result<()> {
        match self.listeners.first() {
            Some(listener) => writeln!(out, "  watch:   http://{listener}/"),
            None => Ok(()),
        }
    }

    /// Answers, until it is dropped.
    pub(super) async fn serve(self, watch: Watch, catalog: Arc<Catalog>, ready: Arc<Readiness>) {
        let Self { listeners, callers } = self;
        let watched = Watched {
            server: watch,
            catalog,
            http: callers.clone(),
            started: SystemTime::now(),
            blocking: OneAtATime::default(),
        };
        let is_loopback = |listener: &Listener| matches!(listener.bound(), Bound::Tcp(address) if address.ip().is_loopback());
        let local = listeners.iter().all(is_loopback);
        let site = Arc::new(Site::new(watched, ready, local));
        connections::serve(listeners, callers, site).await;
    }
}
