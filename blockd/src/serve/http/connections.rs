//! Serves HTTP to callers who may be slow, or send nothing: a request's head has a
//! time limit, and of too many connections the one that was quiet for longest goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use blockd_nbd::{
    budget::{Peer, Place, Places, Spender},
    server::Listener,
};
use futures_util::future::join_all;
use hyper::{server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};
use tracing::{debug, warn};

use super::site::Site;

/// How long a caller may take to send the head of a request, after which an idle
/// connection is closed too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head in bytes.
const HEAD_BYTES: usize = 16 << 10;
/// How long a listener pauses after accept(2) has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections by HTTP.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    places: Arc<Places>,
    refused: Arc<AtomicU64>,
}

impl Connections {
    /// At most so many. One peer has at most three quarters of them.
    pub(super) fn new(limit: usize) -> Self {
        let each = (limit - limit / 4).max(1);
        Self {
            places: Places::new(limit, each, Duration::ZERO),
            refused: Arc::default(),
        }
    }

    /// How many there are, and may be.
    pub(super) fn in_use(&self) -> (usize, usize) {
        (self.places.in_use(), self.places.limit())
    }

    /// How many were closed at once, since all others were being answered.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Serves all that connect.
    pub(super) async fn serve(self, listeners: Vec<Listener>, site: Arc<Site>) {
        let each = |listener| self.accept(listener, Arc::clone(&site));
        join_all(listeners.into_iter().map(each)).await;
    }

    async fn accept(&self, mut listener: Listener, site: Arc<Site>) {
        let mut served = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept_tcp() => accepted,
                Some(_) = served.join_next() => continue,
            };
            match accepted {
                Ok((stream, from)) => {
                    let place = self.places.take(Spender::new(Peer::of(from.ip())));
                    let Ok(place) = place else {
                        self.refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    served.spawn(connection(stream, place, Arc::clone(&site)));
                }
                Err(error) => {
                    warn!(%error, %listener, "cannot accept a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Serves one connection, unless its place is needed for another.
async fn connection(stream: TcpStream, place: Place, site: Arc<Site>) {
    let must_go = place.must_go();
    let place = &place;
    let service = service_fn(|request| {
        let site = Arc::clone(&site);
        async move {
            place.touch();
            place.set_busy(true);
            let response = site.answer(&request).await;
            place.set_busy(false);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = connection => {
            if let Err(error) = served {
                debug!(%error, "a connection ended early");
            }
        }
        () = must_go => debug!("a connection was closed for another one"),
    }
}
