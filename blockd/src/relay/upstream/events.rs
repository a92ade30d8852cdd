//! What the upstreams and the reads of a pool know of each other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;

/// Which upstream is active, whether any answers, and a notification of every
/// change.
#[derive(Debug)]
pub(super) struct UpstreamEvents {
    active: AtomicUsize,
    outage: AtomicBool,
    changes: watch::Sender<()>,
}

impl UpstreamEvents {
    /// With the upstream of this index as the active one.
    pub(super) fn new(active: usize) -> Self {
        Self {
            active: AtomicUsize::new(active),
            outage: AtomicBool::new(false),
            changes: watch::Sender::new(()),
        }
    }

    /// Wakes everybody who waits for a change.
    pub(super) fn notify(&self) {
        self.changes.send_replace(());
    }

    /// A subscription to changes from now on.
    pub(super) fn subscribe(&self) -> Changes {
        Changes(self.changes.subscribe())
    }

    /// The index of the upstream that reads are sent to first.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Makes another upstream the active one; `false` when it was already.
    pub(super) fn activate(&self, index: usize) -> bool {
        let changed = self.active.swap(index, Ordering::Relaxed) != index;
        if changed {
            self.notify();
        }
        changed
    }

    /// Whether the last read has waited for its whole timeout: the next one
    /// need not wait as long.
    pub(super) fn outage(&self) -> bool {
        self.outage.load(Ordering::Relaxed)
    }

    pub(super) fn set_outage(&self, outage: bool) {
        if self.outage() != outage {
            self.outage.store(outage, Ordering::Relaxed);
        }
    }
}

/// A subscription to the changes of [`UpstreamEvents`].
#[derive(Debug)]
pub(super) struct Changes(watch::Receiver<()>);

impl Changes {
    /// Passes over what has changed until now.
    pub(super) fn mark_seen(&mut self) {
        self.0.borrow_and_update();
    }

    /// Waits for a change that was not seen.
    pub(super) async fn changed(&mut self) {
        let changed = self.0.changed().await;
        changed.expect("the pool and the upstreams hold the sender while they wait");
    }
}
