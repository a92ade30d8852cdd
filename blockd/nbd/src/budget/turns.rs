//! Turns at a resource that is held for a moment: threads that read.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::oneshot;

use super::spender::{Peer, Spender};

/// So many at once. Of those that wait, each peer has its turn, and of a peer
/// each connection; one peer never has all of them, where there are several.
#[derive(Clone, Debug)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    each: usize,
    held: HashMap<Peer, usize>,
    waiting: Ring<Peer, Ring<u64, VecDeque<oneshot::Sender<Turn>>>>,
}

/// Those that wait, the next one first.
type Ring<K, V> = VecDeque<(K, V)>;

/// A turn; over when dropped.
#[derive(Debug)]
pub struct Turn {
    /// `None` once it was given back.
    turns: Option<Turns>,
    peer: Peer,
}

impl Turns {
    /// So many at once.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: count,
            each: count.saturating_sub(1).max(1),
            held: HashMap::new(),
            waiting: VecDeque::new(),
        })))
    }

    /// Waits for a turn.
    pub async fn take(&self, spender: Spender) -> Turn {
        loop {
            let (ticket, receiver) = oneshot::channel();
            {
                let mut state = self.state();
                state.queue(spender, ticket);
            }
            self.hand_out();
            if let Ok(turn) = receiver.await {
                return turn;
            }
        }
    }

    /// How many are held, and how many there are.
    #[must_use]
    pub fn in_use(&self) -> (usize, usize) {
        let state = self.state();
        let held = state
            .held
            .values()
            .fold(0, |sum: usize, held| sum.saturating_add(*held));
        (held, held.saturating_add(state.free))
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.state();
        let connections = state
            .waiting
            .iter()
            .flat_map(|(_, connections)| connections);
        connections.map(|(_, queue)| queue.len()).sum()
    }

    fn hand_out(&self) {
        loop {
            let next = self.state().next();
            let Some((peer, ticket)) = next else { return };
            let turn = Turn {
                turns: Some(self.clone()),
                peer,
            };
            // Whoever does not wait any more gives it back at once, by its drop.
            if let Err(turn) = ticket.send(turn) {
                turn.end();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl State {
    fn queue(&mut self, spender: Spender, ticket: oneshot::Sender<Turn>) {
        let connections = entry(&mut self.waiting, spender.peer);
        entry(connections, spender.connection).push_back(ticket);
    }

    /// Takes the next one out of the queue, and a turn for it.
    fn next(&mut self) -> Option<(Peer, oneshot::Sender<Turn>)> {
        if self.free == 0 {
            return None;
        }
        let may = |peer: &Peer| self.held.get(peer).is_none_or(|held| *held < self.each);
        let at = self.waiting.iter().position(|(peer, _)| may(peer))?;
        let (peer, mut connections) = self.waiting.remove(at)?;
        let (connection, mut queue) = connections.pop_front()?;
        let ticket = queue.pop_front();
        if !queue.is_empty() {
            connections.push_back((connection, queue));
        }
        if !connections.is_empty() {
            self.waiting.push_back((peer, connections));
        }
        self.free = self.free.saturating_sub(1);
        let held = self.held.entry(peer).or_default();
        *held = held.saturating_add(1);
        Some((peer, ticket?))
    }

    fn give_back(&mut self, peer: Peer) {
        self.free = self.free.saturating_add(1);
        if let Some(held) = self.held.get_mut(&peer) {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.held.remove(&peer);
            }
        }
    }
}

/// The entry of `key`, made at the end of the ring where there is none.
fn entry<K: PartialEq, V: Default>(ring: &mut Ring<K, V>, key: K) -> &mut V {
    let at = ring.iter().position(|(known, _)| *known == key);
    let at = at.unwrap_or_else(|| {
        ring.push_back((key, V::default()));
        ring.len().saturating_sub(1)
    });
    &mut ring.get_mut(at).expect("it was found or made").1
}

impl Turn {
    /// Gives it back without handing it on: the caller does that.
    fn end(mut self) {
        if let Some(turns) = self.turns.take() {
            turns.state().give_back(self.peer);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.state().give_back(self.peer);
            turns.hand_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::BoxFuture};

    use super::*;

    fn waiting(turns: &Turns, spender: Spender) -> BoxFuture<'static, Turn> {
        let turns = turns.clone();
        let mut waiting = async move { turns.take(spender).await }.boxed();
        assert!((&mut waiting).now_or_never().is_none());
        waiting
    }

    #[test]
    fn a_hundred_of_one_connection_are_before_nobody() {
        let turns = Turns::new(1);
        let (greedy, modest) = (Peer::User(1), Peer::User(2));
        let first = Spender::new(greedy);
        let running = turns.take(first).now_or_never().unwrap();
        let mut many: Vec<_> = (0..100).map(|_| waiting(&turns, first)).collect();
        let mut other = waiting(&turns, Spender::new(greedy));
        let mut innocent = waiting(&turns, Spender::new(modest));
        drop(running);
        let one = many[0]
            .as_mut()
            .now_or_never()
            .expect("it waited for longest");
        assert!(innocent.as_mut().now_or_never().is_none());
        drop(one);
        drop(
            innocent
                .as_mut()
                .now_or_never()
                .expect("another peer is next"),
        );
        drop(
            other
                .as_mut()
                .now_or_never()
                .expect("then another connection"),
        );
        assert_eq!(turns.waiting(), 98);
    }

    #[test]
    fn one_peer_never_has_all_turns() {
        let turns = Turns::new(3);
        let greedy = Spender::new(Peer::User(1));
        let held: Vec<_> = (0..2)
            .filter_map(|_| turns.take(greedy).now_or_never())
            .collect();
        assert_eq!(held.len(), 2);
        let _third = waiting(&turns, greedy);
        assert!(
            turns
                .take(Spender::new(Peer::User(2)))
                .now_or_never()
                .is_some()
        );
    }

    #[test]
    fn who_waits_no_more_is_passed_over() {
        let turns = Turns::new(1);
        let spender = Spender::new(Peer::Own);
        let held = turns.take(spender).now_or_never().unwrap();
        drop(waiting(&turns, spender));
        let mut second = waiting(&turns, spender);
        drop(held);
        drop(second.as_mut().now_or_never().expect("its turn"));
        assert!(turns.take(spender).now_or_never().is_some());
    }
}
