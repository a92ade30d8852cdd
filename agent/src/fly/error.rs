//! Errors of machine operations, distinguished by what a caller can do about them.

use thiserror::Error;

use super::{model::MachineId, state::State};

/// Why an operation on a machine failed. It can be cloned: several callers may
/// wait for one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The machine, app or other subject does not exist.
    #[error("there is no {0}")]
    NotFound(String),
    /// Somebody else holds the machine's lease.
    #[error("{0} is leased by somebody else: try again when that lease has expired")]
    Leased(String),
    /// We lost the machine's lease: the operation may be half done.
    #[error("the lease on machine {0} was lost during a change: check the machine, and try again")]
    LeaseLost(MachineId),
    /// The app has a machine of this name.
    #[error("there is already a machine named {0}")]
    NameTaken(String),
    /// The platform has no host with room for the machine.
    #[error(
        "the platform has no capacity for {operation}: {message}; try again later, in another region, or with a smaller machine"
    )]
    NoCapacity {
        /// What was attempted.
        operation: String,
        /// The platform's message.
        message: String,
    },
    /// The machine was changed by somebody else, or its state does not allow the operation.
    #[error("{operation} conflicts with the state of the machine: {message}")]
    Conflict {
        /// What was attempted.
        operation: String,
        /// The platform's message.
        message: String,
    },
    /// The API refused the request, and would refuse it again.
    #[error("the Machines API refused {operation} with status {status}: {message}")]
    Refused {
        /// What was attempted.
        operation: String,
        /// The HTTP status.
        status: u16,
        /// The platform's message.
        message: String,
    },
    /// The operation was retried until its deadline.
    #[error("{operation} did not finish in time: {last}")]
    TimedOut {
        /// What was attempted.
        operation: String,
        /// The last that was learnt.
        last: String,
    },
    /// The machine was started, and does not run.
    #[error("machine {machine} was started {starts} times and is {state} again: see its logs")]
    Died {
        /// The machine.
        machine: MachineId,
        /// How often it was started.
        starts: u32,
        /// Its state now.
        state: State,
    },
    /// The platform has lost the machine: its state does not allow a start, ever.
    #[error("machine {machine} is {state} and cannot be started: see its logs, or destroy it")]
    Unstartable {
        /// The machine.
        machine: MachineId,
        /// Its state.
        state: State,
    },
    /// The machine is gone for good, and no other one takes its place.
    #[error("machine {machine} is gone: {reason}")]
    Gone {
        /// The machine.
        machine: MachineId,
        /// Why no other one takes its place, and what to do.
        reason: String,
    },
    /// The platform lost a machine, and the one that was made in its place does not
    /// run either.
    #[error(
        "the platform has lost machine {lost}, and machine {replacement}, which was made in its place, does not run: {last}; see the logs of both, destroy both with agent machines destroy, and ask again"
    )]
    NotReplaced {
        /// The machine that was lost.
        lost: MachineId,
        /// The one in its place.
        replacement: MachineId,
        /// The last that was learnt of it.
        last: String,
    },
    /// The machine runs, but its agent does not answer.
    #[error("machine {machine} is started, but its agent was not ready in time: {last}")]
    NotReady {
        /// The machine.
        machine: MachineId,
        /// The last that was learnt.
        last: String,
    },
    /// Codex is working on the machine.
    #[error("codex is working on machine {0}: wait until it is idle, or force the operation")]
    Busy(MachineId),
    /// There are as many machines as callers may have.
    #[error(
        "callers have {0} machines, and may have no more: wait until some are released or destroyed, or ask a manager, whose POST /machines makes more; see --machines of agent coordinator"
    )]
    TooMany(usize),
    /// The request is not valid; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// A defect of ours; the text names it.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// Whether the cause passes by itself.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Leased(_) | Self::Conflict { .. })
    }
}
