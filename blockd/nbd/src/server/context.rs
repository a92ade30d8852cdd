//! What all connections of a server share: the exports, the limits, and the
//! memory for replies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::Exports;

/// The bounds of a server. What a client does can only reach them, never pass
/// them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; one more is closed at once.
    pub connections: usize,
    /// Handshakes at a time; more wait to be accepted.
    pub handshakes: usize,
    /// How long a client may keep the server waiting in the handshake, in all.
    pub handshake_time: Duration,
    /// Options a client may send; 4 more for each export once it has listed them.
    pub options: u32,
    /// Bytes of replies under way on one connection.
    pub connection_bytes: u32,
    /// Bytes of replies under way on all connections.
    pub total_bytes: u32,
    /// How long a client may leave its replies unread while others wait for
    /// `total_bytes`.
    pub stall_time: Duration,
    /// How long a server that shuts down waits for requests in flight.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            handshakes: 100,
            handshake_time: Duration::from_secs(10),
            options: 32,
            connection_bytes: 64 << 20,
            total_bytes: 1 << 30,
            stall_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
        }
    }
}

/// What all connections of a server share.
pub struct Context {
    pub(super) exports: Arc<dyn Exports>,
    pub(super) limits: Limits,
    pub(super) memory: Arc<Memory>,
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Context")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Serves `exports` within `limits`.
    pub fn new(exports: Arc<dyn Exports>, limits: Limits) -> Arc<Self> {
        let memory = Arc::new(Memory::new(limits.total_bytes));
        Arc::new(Self {
            exports,
            limits,
            memory,
        })
    }

    /// The bounds.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// The bytes that replies of all connections may occupy.
#[derive(Debug)]
pub(super) struct Memory {
    total: u32,
    free: Arc<Semaphore>,
}

/// A share of [`Memory`], given back when dropped.
pub(super) type Share = OwnedSemaphorePermit;

impl Memory {
    fn new(total: u32) -> Self {
        let permits = usize::try_from(total)
            .unwrap_or(usize::MAX)
            .min(Semaphore::MAX_PERMITS);
        Self {
            total,
            free: Arc::new(Semaphore::new(permits)),
        }
    }

    /// A share of `bytes` (of everything, if that is less), when it is free now.
    pub(super) fn try_share(&self, bytes: u32) -> Option<Share> {
        Arc::clone(&self.free)
            .try_acquire_many_owned(bytes.min(self.total))
            .ok()
    }

    /// A share of `bytes` (of everything, if that is less). `None`, which
    /// does not happen, when there is no memory any more.
    pub(super) async fn share(&self, bytes: u32) -> Option<Share> {
        Arc::clone(&self.free)
            .acquire_many_owned(bytes.min(self.total))
            .await
            .ok()
    }

    /// Whether somebody may be waiting for a share.
    pub(super) fn is_scarce(&self) -> bool {
        let quarter = usize::try_from(self.total.div_ceil(4)).unwrap_or(usize::MAX);
        self.free.available_permits() < quarter
    }
}

/// The sign that the server ends.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Gives the sign; dropping it gives it too.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

impl ShutdownTrigger {
    /// Both ends.
    pub fn new() -> (Self, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Shutdown(receiver))
    }

    /// Tells all connections.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Whether the sign was given.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits for the sign. Cancel-safe.
    pub async fn requested(&mut self) {
        // An error is a trigger that was dropped: a sign as good as any.
        self.0.wait_for(|requested| *requested).await.ok();
    }
}
