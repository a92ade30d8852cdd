//! What may go wrong with a machine, told apart by what a caller can do.

use std::time::Duration;

use thiserror::Error;

use super::model::{MachineId, State};

/// Why something was not done. It can be cloned: many may wait for one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is no such machine or app.
    #[error("there is no {0}")]
    NotFound(String),
    /// Somebody else changes it at this moment.
    #[error("{0} is leased by somebody else: try again when its lease has ended")]
    Leased(String),
    /// We had the lease, and lost it: what was begun may not be whole.
    #[error("the lease on machine {0} was lost while it was changed: look at it, and try again")]
    LeaseLost(MachineId),
    /// A machine of this name is there.
    #[error("there is a machine {0} already")]
    NameTaken(String),
    /// The platform has no room. Another region or a smaller machine may do.
    #[error("the platform has no capacity for {doing}: {told}; try again, elsewhere, or smaller")]
    NoCapacity {
        /// What was asked for.
        doing: String,
        /// In the platform's words.
        told: String,
    },
    /// It was changed by somebody else, or is not in a state to do that.
    #[error("{doing} conflicts with what goes on there: {told}")]
    Conflict {
        /// What was asked for.
        doing: String,
        /// In the platform's words.
        told: String,
    },
    /// The platform refuses, and would again.
    #[error("the Machines API refuses {doing} with {status}: {told}")]
    Refused {
        /// What was asked for.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// In the platform's words.
        told: String,
    },
    /// It was tried until the deadline.
    #[error("{doing} was not done in time: {last}")]
    Late {
        /// What was asked for.
        doing: String,
        /// What was heard last.
        last: String,
    },
    /// It was started, and is not running.
    #[error("machine {machine} was started {times} times and is {state} again: see its logs")]
    Died {
        /// Which.
        machine: MachineId,
        /// How often.
        times: u32,
        /// As what it was found.
        state: State,
    },
    /// It is in a state that it cannot be started from.
    #[error("machine {machine} is {state} and cannot be started: see its logs, or destroy it")]
    Dead {
        /// Which.
        machine: MachineId,
        /// As what it was found.
        state: State,
    },
    /// It runs, but its agent does not answer.
    #[error("machine {machine} is started, but its agent was not ready in time: {last}")]
    NotReady {
        /// Which.
        machine: MachineId,
        /// What was heard last.
        last: String,
    },
    /// Its codex is at work.
    #[error("machine {0} is at work: wait, or force it")]
    Busy(MachineId),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// As an HTTP status for those who asked us.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::Invalid(_) => 400,
            Self::NameTaken(_) | Self::Conflict { .. } | Self::Busy(_) => 409,
            Self::Refused { .. } | Self::Died { .. } | Self::Dead { .. } => 502,
            Self::Late { .. } | Self::NotReady { .. } => 504,
            Self::Leased(_) | Self::LeaseLost(_) | Self::NoCapacity { .. } => 503,
        }
    }

    /// When to try again, if that may help.
    pub fn retry_after(&self) -> Option<Duration> {
        matches!(self.status(), 503 | 504).then_some(Duration::from_secs(5))
    }

    /// Whether it passes by itself.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Leased(_) | Self::Conflict { .. })
    }
}
