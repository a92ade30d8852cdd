//! What the upstreams and those who read tell each other.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;

/// Who is active, whether anybody answers, and a bell for every change.
#[derive(Debug)]
pub(super) struct Board {
    active: AtomicUsize,
    outage: AtomicBool,
    bell: watch::Sender<()>,
}

impl Board {
    pub(super) fn new(active: usize) -> Self {
        Self {
            active: AtomicUsize::new(active),
            outage: AtomicBool::new(false),
            bell: watch::Sender::new(()),
        }
    }

    pub(super) fn ring(&self) {
        self.bell.send_replace(());
    }

    pub(super) fn listen(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Makes another upstream the active one; `false` when it was already.
    pub(super) fn activate(&self, index: usize) -> bool {
        let changed = self.active.swap(index, Ordering::Relaxed) != index;
        if changed {
            self.ring();
        }
        changed
    }

    /// A read has waited in vain: the next need not wait as long.
    pub(super) fn outage(&self) -> bool {
        self.outage.load(Ordering::Relaxed)
    }

    pub(super) fn set_outage(&self, outage: bool) {
        if self.outage() != outage {
            self.outage.store(outage, Ordering::Relaxed);
        }
    }
}
