//! How often something may happen: lines in a log, of each kind.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use super::spender::Peer;

/// How many peers and kinds are told apart at most.
const ENTRIES: usize = 4096;

/// So many at once, and then one in each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// The interval, longer than nothing.
    pub interval: Duration,
}

/// Each kind of thing at a rate for each peer, and at one for all peers together.
#[derive(Debug)]
pub struct Rates<K> {
    each: Rate,
    all: Rate,
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    of_peers: HashMap<(Peer, K), Bucket>,
    of_all: HashMap<K, Bucket>,
}

/// The generic cell rate algorithm (ITU-T I.371): one number says how full it is.
#[derive(Debug)]
struct Bucket {
    /// When it is empty again.
    empty: Instant,
    /// How many were left out since the last that was not.
    left_out: u64,
}

impl<K: Clone + Eq + Hash> Rates<K> {
    /// At the rate `each` for a peer, and `all` for all of them. The number of kinds
    /// is the caller's own, and not of a stranger's choice.
    #[must_use]
    pub fn new(each: Rate, all: Rate) -> Self {
        let state = State {
            of_peers: HashMap::new(),
            of_all: HashMap::new(),
        };
        Self {
            each,
            all,
            state: Mutex::new(state),
        }
    }

    /// Whether one more of the kind may happen for this peer. If so, how many were
    /// left out before it: the peer's own, and those that all peers together have
    /// lost.
    #[must_use]
    pub fn take(&self, peer: Peer, kind: &K) -> Option<u64> {
        self.take_at(Instant::now(), peer, kind)
    }

    fn take_at(&self, now: Instant, peer: Peer, kind: &K) -> Option<u64> {
        let mut state = self.state();
        if state.of_peers.len() >= ENTRIES {
            state.forget_empty(now);
        }
        let State { of_peers, of_all } = &mut *state;
        let new = || Bucket {
            empty: now,
            left_out: 0,
        };
        let all = of_all.entry(kind.clone()).or_insert_with(new);
        // Where there are too many peers they share one rate.
        let is_known = of_peers.len() < ENTRIES || of_peers.contains_key(&(peer, kind.clone()));
        let own = is_known.then(|| of_peers.entry((peer, kind.clone())).or_insert_with(new));
        let Some(own) = own else {
            return all.take(now, self.all).then(|| all.said());
        };
        if !own.take(now, self.each) {
            return None;
        }
        all.take(now, self.all)
            .then(|| own.said().saturating_add(all.said()))
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl<K: Eq + Hash> State<K> {
    /// Forgets peers that may have as many as ever; what they have lost is everybody's.
    fn forget_empty(&mut self, now: Instant) {
        let Self { of_peers, of_all } = self;
        of_peers.retain(|(_, kind), bucket| {
            if bucket.empty > now {
                return true;
            }
            if let Some(all) = of_all.get_mut(kind) {
                all.left_out = all.left_out.saturating_add(bucket.left_out);
            }
            false
        });
    }
}

impl Bucket {
    fn take(&mut self, now: Instant, rate: Rate) -> bool {
        let ahead = self.empty.saturating_duration_since(now);
        let room = rate.interval.saturating_mul(rate.burst.saturating_sub(1));
        if ahead > room {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        let later = self.empty.max(now).checked_add(rate.interval);
        // A clock has no end that a process lives to see.
        self.empty = later.unwrap_or(now);
        true
    }

    /// How many were left out, once.
    fn said(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rates(each: u32, all: u32) -> Rates<&'static str> {
        let rate = |burst| Rate {
            burst,
            interval: SECOND,
        };
        Rates::new(rate(each), rate(all))
    }

    #[test]
    fn each_peer_and_kind_has_its_own_rate_and_says_what_was_left_out() {
        let (rates, start) = (rates(2, 100), Instant::now());
        let (one, other) = (Peer::User(1), Peer::User(2));
        let take = |seconds, peer, kind| rates.take_at(start + SECOND * seconds, peer, &kind);
        assert_eq!((take(0, one, "a"), take(0, one, "a")), (Some(0), Some(0)));
        for _ in 0..5 {
            assert_eq!(take(0, one, "a"), None);
        }
        assert_eq!((take(0, one, "b"), take(0, other, "a")), (Some(0), Some(0)));
        assert_eq!((take(1, one, "a"), take(1, one, "a")), (Some(5), None));
        assert_eq!((take(9, one, "a"), take(9, one, "a")), (Some(1), Some(0)));
    }

    #[test]
    fn many_peers_share_what_there_is() {
        let (rates, start) = (rates(2, 3), Instant::now());
        let take = |seconds, user| rates.take_at(start + SECOND * seconds, Peer::User(user), &"a");
        let taken: Vec<_> = (0..6).map(|user| take(0, user)).collect();
        assert_eq!(taken, [Some(0), Some(0), Some(0), None, None, None]);
        assert_eq!(take(1, 9), Some(3));
    }

    #[test]
    fn memory_is_bounded_however_many_peers_there_are() {
        let (rates, start) = (rates(1, u32::MAX), Instant::now());
        for user in 0..10_000 {
            assert_eq!(rates.take_at(start, Peer::User(user), &"a"), Some(0));
        }
        assert_eq!(rates.state().of_peers.len(), ENTRIES);
        assert_eq!(rates.take_at(start, Peer::User(0), &"a"), None);
        // All are quiet by now.
        let later = start + SECOND * 10;
        assert_eq!(rates.take_at(later, Peer::User(20_000), &"a"), Some(1));
        assert_eq!(rates.state().of_peers.len(), 1);
    }
}
