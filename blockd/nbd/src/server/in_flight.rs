//! The memory of requests in flight: of each peer, and of all.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{figures::Use, limits::Limits};
use crate::{
    budget::Peer,
    width::{to_u64, to_usize},
};

/// [`Limits::total_bytes`] and [`Limits::peer_bytes`]: what requests in flight on
/// all connections may occupy.
pub(super) struct InFlight {
    all: Share,
    each: u32,
    /// The shares of the peers that are connected, and of some that were.
    peers: Mutex<HashMap<Peer, Weak<Semaphore>>>,
}

/// So many bytes.
#[derive(Clone, Debug)]
struct Share {
    total: u32,
    free: Arc<Semaphore>,
}

/// What the requests of one connection are taken from.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    own: Share,
    all: Share,
}

/// Bytes of [`Memory`], released when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl InFlight {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            all: Share::new(limits.total_bytes),
            each: limits.peer_bytes.min(limits.total_bytes),
            peers: Mutex::default(),
        }
    }

    /// What a connection of `peer` takes from.
    pub(super) fn of(&self, peer: Peer) -> Memory {
        let mut peers = self.peers.lock().expect("no holder of this lock panics");
        let known = peers.get(&peer).and_then(Weak::upgrade);
        let own = if let Some(free) = known {
            let total = self.each;
            Share { total, free }
        } else {
            // Whenever there are twice as many.
            if peers.len().is_power_of_two() {
                peers.retain(|_, share| share.strong_count() > 0);
            }
            let own = Share::new(self.each);
            peers.insert(peer, Arc::downgrade(&own.free));
            own
        };
        drop(peers);
        let all = self.all.clone();
        Memory { own, all }
    }
}

impl InFlight {
    /// The bytes in use, and how many there are.
    pub(super) fn in_use(&self) -> Use {
        let limit = u64::from(self.all.total);
        let free = to_u64(self.all.free.available_permits());
        Use {
            used: limit.saturating_sub(free),
            limit,
        }
    }
}

impl InFlight {
    /// The bytes of one peer.
    pub(super) fn peer_limit(&self) -> u64 {
        self.each.into()
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Use { used, limit } = self.in_use();
        write!(formatter, "{used} of {limit} bytes")
    }
}

impl Share {
    fn new(total: u32) -> Self {
        let permits = to_usize(total).min(Semaphore::MAX_PERMITS);
        Self {
            total: u32::try_from(permits).expect("at most `total`"),
            free: Arc::new(Semaphore::new(permits)),
        }
    }

    fn try_acquire(&self, bytes: u32) -> Option<OwnedSemaphorePermit> {
        // The only error is that too few are free: nobody closes the semaphore.
        Arc::clone(&self.free)
            .try_acquire_many_owned(bytes.min(self.total))
            .ok()
    }

    async fn acquire(&self, bytes: u32) -> OwnedSemaphorePermit {
        Arc::clone(&self.free)
            .acquire_many_owned(bytes.min(self.total))
            .await
            .expect("nobody closes the semaphore")
    }

    fn is_scarce(&self) -> bool {
        self.free.available_permits() < to_usize(self.total.div_ceil(4))
    }
}

impl Memory {
    /// A permit for this many bytes (for all there are, if that is less), if they
    /// are free now.
    pub(super) fn try_acquire(&self, bytes: u32) -> Option<Permit> {
        Some(Permit {
            _own: self.own.try_acquire(bytes)?,
            _all: self.all.try_acquire(bytes)?,
        })
    }

    /// A permit for this many bytes (for all there are, if that is less), once
    /// they are free. Whoever waits for his own peer takes nothing from others.
    pub(super) async fn acquire(&self, bytes: u32) -> Permit {
        Permit {
            _own: self.own.acquire(bytes).await,
            _all: self.all.acquire(bytes).await,
        }
    }

    /// Whether so little is free that others may be waiting, of this peer or of
    /// all: less than a quarter.
    pub(super) fn is_scarce(&self) -> bool {
        self.own.is_scarce() || self.all.is_scarce()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn in_flight() -> InFlight {
        InFlight::new(&Limits {
            total_bytes: 100,
            peer_bytes: 60,
            ..Limits::default()
        })
    }

    #[test]
    fn a_peer_leaves_something_to_others_however_many_connections_it_has() {
        let in_flight = in_flight();
        let greedy = [Peer::User(1); 3].map(|peer| in_flight.of(peer));
        let held: Vec<_> = greedy.iter().map(|memory| memory.try_acquire(20)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(greedy.iter().all(|memory| memory.try_acquire(1).is_none()));
        assert!(greedy.iter().all(Memory::is_scarce));
        let waits = greedy[0].acquire(40);
        let mut waits = Box::pin(waits);
        assert!((&mut waits).now_or_never().is_none());
        let other = in_flight.of(Peer::User(2));
        assert!(!other.is_scarce());
        let others = other.try_acquire(40);
        assert!(others.is_some() && other.try_acquire(1).is_none());
        drop((others, held));
        assert!(waits.now_or_never().is_some());
    }

    #[test]
    fn peers_that_are_gone_are_forgotten() {
        let in_flight = in_flight();
        for user in 0..1000 {
            drop(in_flight.of(Peer::User(user)));
        }
        assert!(in_flight.peers.lock().unwrap().len() < 4);
    }
}
