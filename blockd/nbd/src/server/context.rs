//! What all connections of a server share: the exports, the limits, and the
//! memory for requests in flight.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    figures::{Counters, OpenExports, Use},
    limits::Limits,
};
use crate::{
    export::Exports,
    width::{to_u64, to_usize},
};

/// What all connections of a server share.
pub(crate) struct Context {
    pub(super) exports: Arc<dyn Exports>,
    pub(super) limits: Limits,
    pub(super) memory: Arc<Memory>,
    pub(super) counters: Counters,
    /// Those in transmission.
    pub(super) open: Arc<OpenExports>,
}

impl Context {
    /// Serves `exports` within `limits`.
    pub(crate) fn new(exports: Arc<dyn Exports>, limits: Limits) -> Arc<Self> {
        let memory = Arc::new(Memory::new(limits.total_bytes));
        Arc::new(Self {
            exports,
            limits,
            memory,
            counters: Counters::default(),
            open: Arc::default(),
        })
    }
}

/// [`Limits::total_bytes`]: what requests in flight on all connections may
/// occupy.
#[derive(Debug)]
pub(super) struct Memory {
    total: u32,
    free: Arc<Semaphore>,
}

/// Bytes of [`Memory`], released when dropped.
pub(super) type Permit = OwnedSemaphorePermit;

impl Memory {
    fn new(total: u32) -> Self {
        let permits = to_usize(total).min(Semaphore::MAX_PERMITS);
        Self {
            total: u32::try_from(permits).expect("at most `total`"),
            free: Arc::new(Semaphore::new(permits)),
        }
    }

    /// A permit for this many bytes (for all there are, if that is less), if they
    /// are free now.
    pub(super) fn try_acquire(&self, bytes: u32) -> Option<Permit> {
        // The only error is that too few are free: nobody closes the semaphore.
        Arc::clone(&self.free)
            .try_acquire_many_owned(bytes.min(self.total))
            .ok()
    }

    /// A permit for this many bytes (for all there are, if that is less), once
    /// they are free.
    pub(super) async fn acquire(&self, bytes: u32) -> Permit {
        Arc::clone(&self.free)
            .acquire_many_owned(bytes.min(self.total))
            .await
            .expect("nobody closes the semaphore")
    }

    /// Bytes of requests in flight.
    pub(super) fn in_use(&self) -> Use {
        let free = to_u64(self.free.available_permits());
        let limit = u64::from(self.total);
        Use {
            used: limit.saturating_sub(free),
            limit,
        }
    }

    /// Whether so little is free that others may be waiting: less than a quarter.
    pub(super) fn is_scarce(&self) -> bool {
        self.free.available_permits() < to_usize(self.total.div_ceil(4))
    }
}
