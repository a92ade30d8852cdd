//! Ends all connections of a server.

use tokio::sync::watch;

/// The connections' end: whether the server shuts down.
#[derive(Clone, Debug)]
pub(crate) struct Shutdown(watch::Receiver<bool>);

/// The server's end. Dropping it requests the shutdown too.
#[derive(Debug)]
pub(crate) struct ShutdownTrigger(watch::Sender<bool>);

impl ShutdownTrigger {
    /// Both ends.
    pub(crate) fn new() -> (Self, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Shutdown(receiver))
    }

    /// Requests the shutdown.
    pub(crate) fn trigger(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Whether the shutdown was requested.
    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the shutdown is requested. Cancel-safe.
    pub(crate) async fn requested(&mut self) {
        // An error is a trigger that was dropped, which requests it too.
        self.0.wait_for(|requested| *requested).await.ok();
    }
}
