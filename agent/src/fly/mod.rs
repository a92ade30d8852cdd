//! A typed client of Fly's Machines API, and the operations on a machine that
//! take more than one call.
//!
//! ```text
//! command ─► lifecycle ─► client ─► transport ─► the API
//!            (start, stop, change)  (rate limits, retries, deadlines)
//! ```
//!
//! Fields have the API's names. Responses are decoded here, once. What is not
//! known of a machine's configuration is retained as it is, because an update
//! replaces all of it.

mod backoff;
mod client;
mod command;
mod error;
mod lease;
mod lifecycle;
mod model;
mod rates;
mod refusal;
mod request;
mod state;
mod transport;

pub(crate) use self::transport::causes;
pub use self::{
    client::{Client, Create, Filter},
    command::{Action, Options, run},
    error::Error,
    lease::Lease,
    lifecycle::{
        Starts, change, change_held, change_stopped, destroy, resize, start, start_counted, stop,
        suspend,
    },
    model::{Config, Event, Guest, ImageRef, Machine, MachineId, NotAnId, Size},
    state::{Prospect, State},
    transport::Endpoint,
};
