//! The relay of an attachment, as `blockd status` shows it.

use serde::Serialize;

use crate::{
    attach::{
        layers::{liveness, process::Identity},
        state::lower_dir::LowerDir,
    },
    relay::Status,
};

/// Whether the relay answers, and its own status if it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum RelayStatus {
    /// It answers.
    Alive(Box<Status>),
    /// It answers, with a status that cannot be read: one of another release.
    Unreadable {
        /// Why, and what to do.
        reason: String,
    },
    /// It runs, and does not answer in time.
    Silent {
        /// Its process.
        pid: i32,
    },
    /// It does not run: reads of the device fail with EIO.
    Dead,
}

/// The relay of a lower layer; `None` when there is none.
pub(crate) fn ask(lower: &LowerDir) -> Option<RelayStatus> {
    let running = Identity::alive(&lower.pid_file());
    if let Some(document) = liveness::status(lower) {
        return Some(match Status::from_document(&document) {
            Ok(status) => RelayStatus::Alive(Box::new(status)),
            Err(error) => RelayStatus::Unreadable {
                reason: format!("{error:#}"),
            },
        });
    }
    match running {
        Some(process) => Some(RelayStatus::Silent {
            pid: process.pid().as_raw_nonzero().get(),
        }),
        None => lower.record_file().exists().then_some(RelayStatus::Dead),
    }
}
