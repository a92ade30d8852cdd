//! `/metrics`, for Prometheus.

use std::sync::atomic::AtomicU64;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::App;
use crate::session;

const STATES: [session::State; 8] = [
    session::State::None,
    session::State::Starting,
    session::State::Idle,
    session::State::Working,
    session::State::Blocked,
    session::State::Error,
    session::State::Hung,
    session::State::Exited,
];

type Labels = [(&'static str, String); 1];
type Number = Gauge<u64, AtomicU64>;

pub(super) async fn metrics(State(app): State<App>) -> Response {
    let status = app.session.status();
    let mut registry = Registry::with_prefix("agent");
    let family = Family::<Labels, Number>::default();
    for state in STATES {
        let name = format!("{state:?}").to_lowercase();
        let is_now = u64::from(state == status.state);
        family.get_or_create(&[("state", name)]).set(is_now);
    }
    registry.register(
        "state",
        "What codex is doing: 1 for the state it is in",
        family,
    );
    let watchers = app.session.watchers();
    for (name, help, value) in [
        (
            "output_bytes",
            "Bytes that this run has put out",
            status.bytes,
        ),
        (
            "watchers",
            "Who follows or types",
            u64::try_from(watchers).unwrap_or(u64::MAX),
        ),
        (
            "log_failed",
            "Whether the log of this run has ended early",
            u64::from(status.log_error.is_some()),
        ),
    ] {
        let gauge = Number::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let mut text = String::new();
    // A string takes everything.
    let _encoded = encode(&mut text, &registry);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
