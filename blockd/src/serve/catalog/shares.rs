//! What each peer has of something: its own share of what there is for all.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use blockd_nbd::budget::Peer;

/// Why there is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The peer has its share: it has so many bytes of so many.
    Peer { held: u64, limit: u64 },
    /// All have taken what there is.
    All { in_use: u64, limit: u64 },
}

/// So many bytes for each peer. This program itself is none.
#[derive(Debug)]
pub(super) struct Shares {
    each: u64,
    held: Mutex<HashMap<Peer, u64>>,
    refused: AtomicU64,
}

impl Shares {
    pub(super) fn new(each: u64) -> Self {
        Self {
            each,
            held: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Bytes for one peer.
    pub(super) fn each(&self) -> u64 {
        self.each
    }

    /// How often a peer had its share.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Peer, u64>> {
        self.held.lock().expect("no holder of this lock panics")
    }

    /// Gives `peer` so many bytes.
    ///
    /// # Errors
    ///
    /// It has its share.
    pub(super) fn take(&self, peer: Peer, bytes: u64) -> Result<(), Full> {
        if peer == Peer::Own || bytes == 0 {
            return Ok(());
        }
        let mut all = self.held();
        let held = all.get(&peer).copied().unwrap_or_default();
        let sum = held.checked_add(bytes).filter(|sum| *sum <= self.each);
        let Some(sum) = sum else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let limit = self.each;
            return Err(Full::Peer { held, limit });
        };
        all.insert(peer, sum);
        Ok(())
    }

    /// Takes back what `peer` was given.
    pub(super) fn give_back(&self, peer: Peer, bytes: u64) {
        let mut all = self.held();
        if let Some(held) = all.get_mut(&peer) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                all.remove(&peer);
            }
        }
    }
}
