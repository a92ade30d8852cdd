//! Replays: the header or JSON that asks for one, and the headers that report it.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use serde::Deserialize;

pub(super) const JSON: &str = "application/vnd.fly.replay+json";

/// The machine that a request is to be sent to instead.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Replay {
    pub(super) app: Option<String>,
    pub(super) instance: Option<String>,
    pub(super) state: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) fallback: Option<String>,
    #[serde(default)]
    pub(super) transform: Transform,
}

/// What is changed in the request that is replayed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transform {
    #[serde(default)]
    pub(super) delete_headers: Vec<String>,
}

impl Replay {
    /// The replay that a response asks for, if it does.
    pub(super) fn of(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        if headers.get("content-type").is_some_and(|kind| kind == JSON) {
            return Some(serde_json::from_slice(body).unwrap());
        }
        let mut replay = Self::default();
        for field in headers.get("fly-replay")?.to_str().unwrap().split(';') {
            let (name, value) = field.split_once('=').unwrap();
            let value = Some(value.to_owned());
            match name.trim() {
                "app" => replay.app = value,
                "instance" => replay.instance = value,
                "state" => replay.state = value,
                "timeout" => replay.timeout = value,
                "fallback" => replay.fallback = value,
                other => panic!("fly-replay has no {other}"),
            }
        }
        Some(replay)
    }

    pub(super) fn timeout(&self) -> Duration {
        let seconds = self
            .timeout
            .as_deref()
            .and_then(|text| text.strip_suffix('s'));
        Duration::from_secs(seconds.map_or(5, |seconds| seconds.parse().unwrap()))
    }

    pub(super) fn source(&self, separator: char) -> HeaderValue {
        let state = self.state.as_deref().unwrap_or_default();
        let fields = [
            "instance=c0ffee",
            "region=iad",
            "t=1700000000000000",
            &format!("state={state}"),
        ];
        fields.join(&separator.to_string()).parse().unwrap()
    }

    pub(super) fn failed(&self, reason: &str) -> HeaderValue {
        let instance = self.instance.as_deref().unwrap_or_default();
        let app = self.app.as_deref().unwrap_or_default();
        format!("instance={instance};app={app};region=iad;replay_source=c0ffee;reason={reason};elapsed_ms=1")
            .parse()
            .unwrap()
    }
}
