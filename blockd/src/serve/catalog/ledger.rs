//! What all images together may take of something: memory, or bytes to convert.

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use blockd_nbd::budget::Peer;

use super::shares::{Full, Shares};

/// How long one waits for what gives way.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many bytes in all, and a share of them for each peer: what is made for it, and
/// what it has open. Where there are no more, what is being made gives way: of the
/// peer that has most of it, if that has more than the one who asks.
#[derive(Debug)]
pub(super) struct Ledger {
    limit: u64,
    shares: Shares,
    used: AtomicU64,
    refused: AtomicU64,
    /// What is being made, and what was.
    making: Mutex<Vec<Weak<Charge>>>,
    given_back: Condvar,
}

/// What one image takes, while anything uses it.
#[derive(Debug)]
pub(super) struct Charge {
    ledger: Arc<Ledger>,
    by: Peer,
    bytes: AtomicU64,
    made: AtomicBool,
    must_go: AtomicBool,
    /// How often each peer has it open.
    users: Mutex<HashMap<Peer, usize>>,
}

/// A peer has open what was charged, until this is dropped: it counts once in the
/// share of the peer.
#[derive(Debug)]
pub(super) struct InUse {
    charge: Arc<Charge>,
    by: Peer,
}

/// What a bound of a server allows, and what is taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes in all.
    pub limit: u64,
    /// Bytes that are in use.
    pub in_use: u64,
    /// Bytes for one peer.
    pub peer_limit: u64,
    /// How often more was refused since the server started, since there was no
    /// more.
    pub refused: u64,
    /// The same, since a peer had its share.
    pub peer_refused: u64,
}

impl Ledger {
    /// `limit` bytes in all, `each` for one peer.
    pub(super) fn new(limit: u64, each: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            shares: Shares::new(each),
            used: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            making: Mutex::default(),
            given_back: Condvar::new(),
        })
    }

    /// A charge of nothing yet, for what `by` has made.
    pub(super) fn open(self: &Arc<Self>, by: Peer) -> Arc<Charge> {
        let charge = Arc::new(Charge {
            ledger: Arc::clone(self),
            by,
            bytes: AtomicU64::new(0),
            made: AtomicBool::new(false),
            must_go: AtomicBool::new(false),
            users: Mutex::default(),
        });
        self.making().push(Arc::downgrade(&charge));
        charge
    }

    fn making(&self) -> MutexGuard<'_, Vec<Weak<Charge>>> {
        self.making.lock().expect("no holder of this lock panics")
    }

    /// Tells what is being made to give way to `charge`, which is to have `bytes`;
    /// `false` if there is nothing that should.
    fn make_way(&self, charge: &Charge, bytes: u64) -> bool {
        let mut making = self.making();
        making.retain(|charge| charge.upgrade().is_some_and(|charge| !charge.is_made()));
        let all: Vec<_> = making.iter().filter_map(Weak::upgrade).collect();
        drop(making);
        let mut peers: HashMap<Peer, u64> = HashMap::new();
        for charge in &all {
            let sum = peers.entry(charge.by).or_default();
            *sum = sum.saturating_add(charge.bytes());
        }
        let own = peers.get(&charge.by).copied().unwrap_or_default();
        let own = own.saturating_sub(charge.bytes()).saturating_add(bytes);
        let most = peers.into_iter().max_by_key(|(_, sum)| *sum);
        let Some((peer, _)) = most.filter(|(peer, sum)| *peer != charge.by && *sum > own) else {
            return false;
        };
        let of_peer = all.iter().filter(|charge| charge.by == peer);
        let largest = of_peer.max_by_key(|charge| charge.bytes());
        largest.inspect(|charge| charge.must_go.store(true, Ordering::Relaxed));
        largest.is_some()
    }

    /// Waits a moment for what gives way.
    fn wait(&self) {
        let waited = self
            .given_back
            .wait_timeout(self.making(), Duration::from_millis(100));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn taken(&self) -> Taken {
        Taken {
            limit: self.limit,
            in_use: self.used.load(Ordering::Relaxed),
            peer_limit: self.shares.each(),
            refused: self.refused.load(Ordering::Relaxed),
            peer_refused: self.shares.refused(),
        }
    }
}

impl Charge {
    /// What it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn is_made(&self) -> bool {
        self.made.load(Ordering::Relaxed)
    }

    /// It is made: from now on it gives way to nobody, and counts for those who
    /// have it open.
    pub(super) fn made(&self) {
        self.made.store(true, Ordering::Relaxed);
        self.ledger.shares.give_back(self.by, self.bytes());
    }

    /// `peer` opens what is made.
    ///
    /// # Errors
    ///
    /// It has its share.
    pub(super) fn open(self: &Arc<Self>, by: Peer) -> Result<InUse, Full> {
        let mut users = self.users();
        if !users.contains_key(&by) {
            self.ledger.shares.take(by, self.bytes())?;
        }
        let count = users.entry(by).or_default();
        // There is memory for each of them.
        *count += 1;
        drop(users);
        let charge = Arc::clone(self);
        Ok(InUse { charge, by })
    }

    fn users(&self) -> MutexGuard<'_, HashMap<Peer, usize>> {
        self.users.lock().expect("no holder of this lock panics")
    }

    /// Makes it `bytes` in all. Something else takes `beside`, and while there is
    /// no room, `forget` drops what nobody uses.
    ///
    /// # Errors
    ///
    /// The peer has its share; or `forget` finds nothing, and nothing that is being
    /// made gives way: what all take is in use; or this gives way to others. Then
    /// nothing has changed.
    pub(super) fn set(
        &self,
        bytes: u64,
        beside: impl Fn() -> u64,
        forget: impl FnMut() -> bool,
    ) -> Result<(), Full> {
        let before = self.bytes();
        let Some(more) = bytes.checked_sub(before) else {
            let less = before - bytes;
            self.ledger.used.fetch_sub(less, Ordering::Relaxed);
            self.ledger.shares.give_back(self.by, less);
            self.bytes.store(bytes, Ordering::Relaxed);
            return Ok(());
        };
        self.ledger.shares.take(self.by, more)?;
        if !self.grow((bytes, more), beside, forget) {
            self.ledger.shares.give_back(self.by, more);
            self.ledger.refused.fetch_add(1, Ordering::Relaxed);
            let Taken { in_use, limit, .. } = self.ledger.taken();
            return Err(Full::All { in_use, limit });
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Takes `more`, which makes it `bytes`; `false` if there is no room.
    fn grow(
        &self,
        (bytes, more): (u64, u64),
        beside: impl Fn() -> u64,
        mut forget: impl FnMut() -> bool,
    ) -> bool {
        let begun = Instant::now();
        while self.must_go.load(Ordering::Relaxed) || !self.ledger.take(more, beside()) {
            let gives_way = self.must_go.load(Ordering::Relaxed);
            if !gives_way && forget() {
                continue;
            }
            if gives_way || begun.elapsed() > PATIENCE || !self.ledger.make_way(self, bytes) {
                return false;
            }
            self.ledger.wait();
        }
        true
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut users = self.charge.users();
        let Some(count) = users.get_mut(&self.by) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            users.remove(&self.by);
            let shares = &self.charge.ledger.shares;
            shares.give_back(self.by, self.charge.bytes());
        }
    }
}

impl Ledger {
    fn take(&self, more: u64, beside: u64) -> bool {
        let sum = |used: u64| {
            let sum = used.checked_add(more)?;
            let fits = sum.checked_add(beside).is_some_and(|all| all <= self.limit);
            fits.then_some(sum)
        };
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
        taken.is_ok()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.ledger.used.fetch_sub(bytes, Ordering::Relaxed);
        if !self.is_made() {
            self.ledger.shares.give_back(self.by, bytes);
        }
        self.ledger.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn set(charge: &Charge, bytes: u64) -> bool {
        charge.set(bytes, || 0, || false).is_ok()
    }

    #[test]
    fn what_grows_counts_while_it_grows_and_what_is_dropped_counts_no_more() {
        let ledger = Ledger::new(10, 100);
        let (first, second) = (ledger.open(Peer::User(1)), ledger.open(Peer::User(1)));
        assert!(set(&first, 4) && set(&second, 4) && set(&first, 6));
        assert!(!set(&second, 5));
        assert_eq!((ledger.taken().in_use, ledger.taken().refused), (10, 1));
        drop(first);
        assert!(set(&second, 10) && set(&second, 2));
        assert_eq!(ledger.taken().in_use, 2);
    }

    #[test]
    fn what_nobody_uses_makes_room_and_what_stands_beside_does_not() {
        let ledger = Ledger::new(10, 100);
        let kept = ledger.open(Peer::User(1));
        assert!(set(&kept, 6));
        let (mut kept, second) = (Some(kept), ledger.open(Peer::User(1)));
        let made = second.set(5, || 0, || kept.take().is_some());
        assert!(made.is_ok() && kept.is_none());
        assert!(second.set(6, || 5, || false).is_err());
        assert!(second.set(6, || 4, || false).is_ok());
    }

    #[test]
    fn what_is_being_made_gives_way_to_a_peer_that_has_less() {
        let ledger = Ledger::new(10, 100);
        let greedy = ledger.open(Peer::User(1));
        let modest = ledger.open(Peer::User(2));
        assert!(set(&greedy, 9));
        thread::scope(|scope| {
            // Waits for the other to notice.
            let waits = scope.spawn(|| set(&modest, 3));
            while set(&greedy, 9) {
                thread::yield_now();
            }
            drop(greedy);
            assert!(waits.join().unwrap());
        });
        // What is made stays, and one peer gives no way to itself.
        assert!(!set(&ledger.open(Peer::User(2)), 8));
        modest.made();
        assert!(!set(&ledger.open(Peer::User(3)), 8));
        assert!(set(&modest, 2));
    }

    #[test]
    fn what_a_peer_has_open_counts_once_in_its_share_whoever_had_it_made() {
        let ledger = Ledger::new(100, 10);
        let (greedy, other) = (Peer::User(1), Peer::User(2));
        let first = ledger.open(greedy);
        assert!(set(&first, 6));
        first.made();
        let open: Vec<_> = (0..3).map(|_| first.open(greedy).unwrap()).collect();
        let second = ledger.open(greedy);
        let full = second.set(5, || 0, || false).unwrap_err();
        assert_eq!(full, Full::Peer { held: 6, limit: 10 });
        assert!(set(&second, 4));
        assert_eq!(
            (ledger.taken().peer_refused, ledger.taken().refused),
            (1, 0)
        );
        // To another peer it is all the same, and one that opens it pays too.
        let third = ledger.open(other);
        assert!(set(&third, 10));
        assert!(first.open(other).is_err());
        drop(third);
        drop(first.open(other).unwrap());
        drop((open, second));
        assert!(set(&ledger.open(greedy), 10));
        // The program itself has no share.
        assert!(set(&ledger.open(Peer::Own), 90));
    }
}
