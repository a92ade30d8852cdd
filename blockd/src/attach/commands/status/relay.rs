//! Asking a relay how it fares.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    attach::{
        layers::{liveness, process::Identity},
        state::lower_dir::LowerDir,
    },
    relay::{AheadStatus, CacheStatus},
};

/// How a relay fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum RelayStatus {
    /// It answers.
    Alive(Box<RelayFigures>),
    /// It runs, and does not answer.
    Silent {
        /// Its process.
        pid: i32,
    },
    /// It does not run: whoever reads gets EIO.
    Dead,
}

/// What a relay says of itself, as far as is shown here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RelayFigures {
    /// Its process.
    pub pid: u32,
    /// When it started, in seconds since 1970.
    pub since: u64,
    /// Its servers.
    pub upstreams: Vec<Upstream>,
    /// Reads that were answered,
    pub reads: u64,
    /// with so many bytes.
    pub bytes: u64,
    /// Reads that failed.
    pub errors: u64,
    /// Reads that wait for an answer.
    pub in_flight: u64,
    /// Reads that were sent again.
    pub replayed: u64,
    /// Connections that were opened again.
    pub reconnects: u64,
    /// In microseconds.
    pub latency_us: Latency,
    /// What was read before anybody asked.
    pub ahead: AheadStatus,
    /// The local block cache.
    pub cache: Option<CacheStatus>,
    /// Blocks that were written.
    pub changed: Option<Value>,
}

/// A server of a relay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upstream {
    /// Where.
    pub uri: String,
    /// Whether it is connected.
    pub state: String,
    /// Over how many connections.
    pub connections: u64,
    /// What is wrong with it.
    pub reason: Option<String>,
}

/// How long reads took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// Half of them took less.
    pub p50: u64,
    /// 95 of 100 took less.
    pub p95: u64,
    /// The longest.
    pub max: u64,
}

/// Asks the relay of a lower layer; `None` when there is none.
pub(crate) fn ask(lower: &LowerDir) -> Option<RelayStatus> {
    let running = Identity::alive(&lower.pid_file());
    if let Some(figures) = figures(lower) {
        return Some(RelayStatus::Alive(Box::new(figures)));
    }
    match running {
        Some(process) => Some(RelayStatus::Silent {
            pid: process.pid().as_raw_nonzero().get(),
        }),
        None => lower.record_file().exists().then_some(RelayStatus::Dead),
    }
}

fn figures(lower: &LowerDir) -> Option<RelayFigures> {
    serde_json::from_slice(&liveness::status(lower)?).ok()
}
