//! Places that are held for long: handshakes and connections.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use thiserror::Error;
use tokio::sync::Notify;

use super::spender::{Peer, Spender};

/// So many places in all, and of each peer. When there are none left, the holder
/// goes that was quiet for longest: of the peer itself if it has its share, else
/// of the peer that has most.
#[derive(Debug)]
pub struct Places {
    all: usize,
    each: usize,
    /// Who was not quiet for as long as this need not go.
    quiet: Duration,
    held: Mutex<HashMap<Peer, HashMap<u64, Arc<Holder>>>>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Full {
    /// The peer has its share.
    #[error("{0} places are taken by this peer, and none of them is quiet")]
    Peer(usize),
    /// There are no more.
    #[error("{0} places are taken, and none of them is quiet")]
    All(usize),
}

#[derive(Debug)]
struct Holder {
    last_active: Mutex<Instant>,
    busy: AtomicBool,
    must_go: Notify,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    spender: Spender,
    holder: Arc<Holder>,
}

impl Places {
    /// `all` places, `each` for one peer. Whoever was `quiet` for so long gives
    /// its place to another where there is none left.
    #[must_use]
    pub fn new(all: usize, each: usize, quiet: Duration) -> Arc<Self> {
        Arc::new(Self {
            all,
            each: each.min(all),
            quiet,
            held: Mutex::default(),
        })
    }

    /// Takes a place, if need be from one that is quiet.
    ///
    /// # Errors
    ///
    /// There is none, and nobody is quiet.
    pub fn take(self: &Arc<Self>, spender: Spender) -> Result<Place, Full> {
        let mut held = self.held();
        let own = held.get(&spender.peer).map_or(0, HashMap::len);
        let sum = || held.values().map(HashMap::len).sum::<usize>();
        let (from, full) = if own >= self.each {
            (Some(spender.peer), Some(Full::Peer(self.each)))
        } else if sum() >= self.all {
            let most = held.iter().max_by_key(|(_, holders)| holders.len());
            (most.map(|(peer, _)| *peer), Some(Full::All(self.all)))
        } else {
            (None, None)
        };
        if let Some(full) = full {
            self.evict(&mut held, from).ok_or(full)?;
        }
        let holder = Arc::new(Holder {
            last_active: Mutex::new(Instant::now()),
            busy: AtomicBool::new(false),
            must_go: Notify::new(),
        });
        let of_peer = held.entry(spender.peer).or_default();
        of_peer.insert(spender.connection, Arc::clone(&holder));
        drop(held);
        Ok(Place {
            places: Arc::clone(self),
            spender,
            holder,
        })
    }

    /// How many are held.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.held().values().map(HashMap::len).sum()
    }

    /// How many may be held.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.all
    }

    /// How many one peer may hold.
    #[must_use]
    pub fn peer_limit(&self) -> usize {
        self.each
    }

    /// How many peers hold them.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.held().len()
    }

    fn evict(
        &self,
        held: &mut HashMap<Peer, HashMap<u64, Arc<Holder>>>,
        from: Option<Peer>,
    ) -> Option<()> {
        let holders = held.get_mut(&from?)?;
        let quiet = holders.iter().filter_map(|(connection, holder)| {
            let since = holder.quiet_since()?;
            (since.elapsed() >= self.quiet).then_some((since, *connection))
        });
        let (_, connection) = quiet.min()?;
        holders.remove(&connection)?.must_go.notify_one();
        Some(())
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Peer, HashMap<u64, Arc<Holder>>>> {
        self.held.lock().expect("no holder of this lock panics")
    }
}

impl Holder {
    /// `None` while the server works for it.
    fn quiet_since(&self) -> Option<Instant> {
        let busy = self.busy.load(Ordering::Relaxed);
        (!busy).then(|| *self.active())
    }

    fn active(&self) -> MutexGuard<'_, Instant> {
        self.last_active
            .lock()
            .expect("no holder of this lock panics")
    }
}

impl Place {
    /// Whoever holds it is not quiet now.
    pub fn touch(&self) {
        *self.holder.active() = Instant::now();
    }

    /// Whether the server is at work for its holder, who need not go meanwhile.
    pub fn set_busy(&self, busy: bool) {
        self.holder.busy.store(busy, Ordering::Relaxed);
    }

    /// Waits until the place is given to another; for ever, once it was given back.
    pub fn must_go(&self) -> impl Future<Output = ()> + Send + use<> {
        let holder = Arc::clone(&self.holder);
        async move { holder.must_go.notified().await }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held();
        if let Some(holders) = held.get_mut(&self.spender.peer) {
            holders.remove(&self.spender.connection);
            if holders.is_empty() {
                held.remove(&self.spender.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn places(quiet: Duration) -> Arc<Places> {
        Places::new(3, 2, quiet)
    }

    fn of(user: u32) -> Spender {
        Spender::new(Peer::User(user))
    }

    #[test]
    fn the_oldest_quiet_one_of_the_peer_goes_first() {
        let places = places(Duration::ZERO);
        let first = places.take(of(1)).unwrap();
        let second = places.take(of(1)).unwrap();
        first.touch();
        let _third = places.take(of(1)).unwrap();
        assert!(second.must_go().now_or_never().is_some());
        assert!(first.must_go().now_or_never().is_none());
        assert_eq!(places.in_use(), 2);
    }

    #[test]
    fn a_full_house_takes_from_the_peer_that_has_most() {
        let places = places(Duration::ZERO);
        let many = [of(1), of(1)].map(|spender| places.take(spender).unwrap());
        let other = places.take(of(2)).unwrap();
        let _new = places.take(of(3)).unwrap();
        let gone = many
            .iter()
            .filter(|place| place.must_go().now_or_never().is_some());
        assert_eq!(gone.count(), 1);
        assert!(other.must_go().now_or_never().is_none());
    }

    #[test]
    fn nobody_goes_who_is_busy_or_not_quiet_for_long() {
        let busy = places(Duration::ZERO);
        let held = [of(1), of(1)].map(|spender| busy.take(spender).unwrap());
        for place in &held {
            place.set_busy(true);
        }
        assert_eq!(busy.take(of(1)).unwrap_err(), Full::Peer(2));
        let active = places(Duration::from_secs(60));
        let held = [of(1), of(1), of(2)].map(|spender| active.take(spender).unwrap());
        assert_eq!(active.take(of(3)).unwrap_err(), Full::All(3));
        drop(held);
        assert_eq!(active.in_use(), 0);
    }
}
