//! Fly's Machines API: a thin, typed client, and what is done to a machine in
//! more than one call.
//!
//! ```text
//! args ─► command ─► lifecycle ─► client ─► http ─► the API
//!                    (start, stop, change)   (rates, retries, deadlines)
//! ```
//!
//! Names of fields are the API's. What it answers is parsed here, once; what
//! we do not know of a machine's configuration is kept as it is, since an
//! update replaces all of it.

pub(crate) mod client;
mod command;
pub(crate) mod error;
mod http;
mod lease;
mod lifecycle;
pub(crate) mod model;
mod rates;

pub(crate) use self::http::causes;
pub use self::{
    client::{Client, Create, Endpoint, Filter},
    command::run,
    error::Error,
    lease::Lease,
    lifecycle::{
        Starts, change, change_held, change_stopped, resize, start, start_counted, stop, suspend,
    },
    model::{Config, Guest, ImageRef, Machine, MachineId, Mode, NotAnId, Size, State},
};
