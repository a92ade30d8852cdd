//! Serves HTTP to callers who may be slow, or send nothing: a request's head has a
//! time limit, and of too many connections the one that was quiet for longest goes.

use std::{convert::Infallible, sync::Arc, time::Duration};

use blockd_nbd::{
    budget::{Peer, Place, Spender},
    server::Listener,
};
use futures_util::future::join_all;
use hyper::{server::conn::http1::Builder, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};
use tracing::{Instrument, debug, error_span, warn};

use super::{callers::Callers, site::Site};

/// How long a caller may take to send the head of a request, after which an idle
/// connection is closed too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head in bytes.
const HEAD_BYTES: usize = 16 << 10;
/// How long a listener pauses after accept(2) has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves all that connect.
pub(super) async fn serve(listeners: Vec<Listener>, callers: Callers, site: Arc<Site>) {
    let each = |listener| accept(listener, &callers, Arc::clone(&site));
    join_all(listeners.into_iter().map(each)).await;
}

async fn accept(mut listener: Listener, callers: &Callers, site: Arc<Site>) {
    let mut served = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept_tcp() => accepted,
            Some(_) = served.join_next() => continue,
        };
        match accepted {
            Ok((stream, from)) => {
                let spender = Spender::new(Peer::of(from.ip()));
                let Some(place) = callers.admit(spender) else {
                    continue;
                };
                let span = error_span!("http", id = spender.connection, peer = %from);
                let connection = connection(stream, place, Arc::clone(&site));
                served.spawn(connection.instrument(span));
            }
            Err(error) => {
                warn!(%error, %listener, "cannot accept a connection");
                sleep(PAUSE).await;
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
            Ok::<_, Infallible>(response)
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
