//! `/metrics`, for Prometheus.

use std::{fmt::Debug, sync::atomic::AtomicU64};

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

use super::app::App;
use crate::serve::session;

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

const LOGS: [session::LogState; 3] = [
    session::LogState::Ok,
    session::LogState::Full,
    session::LogState::Failing,
];

type Labels = [(&'static str, String); 1];
type Number = Gauge<u64, AtomicU64>;

pub(super) async fn metrics(State(app): State<App>) -> Response {
    let status = app.session.status();
    let mut registry = Registry::with_prefix("agent");
    registry.register(
        "state",
        "What codex is doing: 1 for the state it is in",
        one_of(&STATES, &status.state),
    );
    registry.register(
        "log",
        "Whether codex's output is logged: 1 for ok, full or failing",
        one_of(&LOGS, &status.log),
    );
    let watchers = app.session.watchers();
    for (name, help, value) in [
        ("output_bytes", "Bytes in the log of this run", status.bytes),
        (
            "missing_bytes",
            "Bytes of the output of this run that its log lacks",
            status.missing,
        ),
        (
            "watchers",
            "How many follow /live or have a terminal open",
            u64::try_from(watchers).expect("usize has at most 64 bits"),
        ),
    ] {
        let gauge = Number::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    }
    let mut text = String::new();
    encode(&mut text, &registry).expect("a String accepts every write");
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// A gauge for each value, which is 1 for the current one.
fn one_of<T: Debug + PartialEq>(all: &[T], now: &T) -> Family<Labels, Number> {
    let family = Family::<Labels, Number>::default();
    for one in all {
        let name = format!("{one:?}").to_lowercase();
        let is_now = u64::from(one == now);
        family.get_or_create(&[("state", name)]).set(is_now);
    }
    family
}
