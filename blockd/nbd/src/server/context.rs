//! What all connections of a server share: the exports, the limits, and the
//! memory for requests in flight.

use std::sync::Arc;

use super::{
    figures::{Counters, OpenExports},
    in_flight::InFlight,
    limits::Limits,
};
use crate::export::Exports;

/// What all connections of a server share.
pub(crate) struct Context {
    pub(super) exports: Arc<dyn Exports>,
    pub(super) limits: Limits,
    pub(super) in_flight: InFlight,
    pub(super) counters: Counters,
    /// Those in transmission.
    pub(super) open: Arc<OpenExports>,
}

impl Context {
    /// Serves `exports` within `limits`.
    pub(crate) fn new(exports: Arc<dyn Exports>, limits: Limits) -> Arc<Self> {
        let in_flight = InFlight::new(&limits);
        Arc::new(Self {
            exports,
            limits,
            in_flight,
            counters: Counters::default(),
            open: Arc::default(),
        })
    }
}
