//! HTTP on the plugin's socket. Its callers are root's: dockerd, or podman.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use blockd_nbd::{printable, server::Listener};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1::Builder,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::UnixStream, time::sleep};

use super::{
    driver::Driver,
    protocol::{Call, Request},
};

/// The most bytes of a request: names and options.
const MAX_REQUEST: usize = 64 << 10;
/// The media type of the protocol.
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";
/// How long a listener pauses after accept(2) has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers all that connect.
pub(super) async fn serve(mut listener: Listener, driver: Arc<Driver>) {
    loop {
        match listener.accept_unix().await {
            Ok(stream) => drop(tokio::spawn(connection(stream, Arc::clone(&driver)))),
            Err(error) => {
                tracing::warn!(%error, %listener, "cannot accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, driver: Arc<Driver>) {
    let service = service_fn(|request| {
        let driver = Arc::clone(&driver);
        async move { Ok::<_, Infallible>(respond(request, &driver).await) }
    });
    let served = Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn respond(request: hyper::Request<Incoming>, driver: &Driver) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let Some(call) = Call::of(&path) else {
        let what = format!("blockd has no {path}: it is a volume driver");
        return response(StatusCode::NOT_FOUND, &json!({ "Err": what }));
    };
    let answered = match read(call, request).await {
        Ok(request) => call.answer(driver, request).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(answer) => response(StatusCode::OK, &answer),
        Err(error) => {
            let error = format!("{error:#}");
            let error = printable(&error);
            // Docker asks for volumes that are not there before it makes them.
            if call != Call::Get {
                tracing::error!("{path}: {error}");
            }
            response(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "Err": error }))
        }
    }
}

async fn read(call: Call, request: hyper::Request<Incoming>) -> Result<Request> {
    if !call.has_request() {
        return Ok(Request::default());
    }
    let body = Limited::new(request.into_body(), MAX_REQUEST)
        .collect()
        .await;
    let body = body.map_err(|error| anyhow!("the request cannot be read: {error}"))?;
    serde_json::from_slice(&body.to_bytes()).context("the request is not one of Docker's protocol")
}

fn response(status: StatusCode, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}
