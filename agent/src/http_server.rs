//! Serves HTTP to callers who may be slow, or send nothing: a request's head has
//! a time limit, and connections are fewer than the files that may be open.

use std::{io, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1::Builder;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::sleep,
};
use tracing::{debug, warn};

use crate::http_access::Connection;

/// How long a caller may take to send the head of a request, after which an idle
/// connection is closed too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How many connections are served at once, at most.
const MAX_CONNECTIONS: usize = 4096;
/// How many descriptors are for other things than connections: logs, the
/// terminal, what a request opens.
const OTHER_FILES: usize = 96;
/// How long accepting pauses when it fails, as without a free descriptor.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `end` is done, and then until every request is answered. Those
/// that wait for a place are served when there is one.
pub(crate) async fn serve(listener: TcpListener, router: Router, end: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(places()));
    let (ending, _) = watch::channel(());
    tokio::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut end => break,
        };
        match accepted {
            Ok((stream, place)) => {
                let connection = connection(stream, router.clone(), ending.subscribe());
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    ending.send_replace(());
    ending.closed().await;
}

/// How many connections may be open.
fn places() -> usize {
    let files = getrlimit(Resource::Nofile).current;
    let files = files.map_or(MAX_CONNECTIONS, |files| {
        usize::try_from(files).unwrap_or(MAX_CONNECTIONS)
    });
    files.saturating_sub(OTHER_FILES).clamp(1, MAX_CONNECTIONS)
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await;
    let place = place.expect("the places are never closed");
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Serves one connection; when the server ends, until its requests are answered.
async fn connection(stream: TcpStream, router: Router, mut ending: watch::Receiver<()>) {
    // Keys and their echo are small packets.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let router = match (stream.local_addr(), stream.peer_addr()) {
        (Ok(local), Ok(peer)) => router.layer(Extension(Connection { local, peer })),
        // It has been closed.
        _ => return,
    };
    let service = TowerToHyperService::new(router);
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        _ = ending.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection ended early");
    }
}
