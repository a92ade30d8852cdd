//! What a task for one request ends with.

use super::{reply::Reply, request::Read};
use crate::{
    export::{ReadError, WriteError},
    server::in_flight::Permit,
};

/// The result of a request that was served by a task of its own.
pub(super) struct Completion {
    pub(super) reply: Reply,
    pub(super) outcome: Outcome,
    /// What the request counts as, in bytes, on its connection.
    pub(super) charge: u32,
    /// The same in the memory of the server.
    pub(super) permit: Permit,
}

pub(super) enum Outcome {
    Read(Read, Result<Vec<u8>, ReadError>),
    Cache(Result<(), ReadError>),
    Write(Result<(), WriteError>),
}
