//! What one can see of a server from outside of its connections.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    budget::Places,
    server::{
        context::Context,
        figures::{Figures, OpenExport, PeerLimits, Use},
    },
    width::to_u64,
};

/// Shows what a server does; looking costs its clients nothing but a short lock.
#[derive(Clone)]
pub struct Watch {
    pub(super) context: Arc<Context>,
    pub(super) handshakes: Arc<Places>,
    pub(super) connections: Arc<Places>,
    pub(super) panics: Arc<AtomicU64>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    /// How its figures stand.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            connections: in_use(&self.connections),
            handshakes: in_use(&self.handshakes),
            peers: to_u64(self.connections.peers()),
            in_flight: self.context.in_flight.in_use(),
            peer_limits: PeerLimits {
                connections: to_u64(self.connections.peer_limit()),
                handshakes: to_u64(self.handshakes.peer_limit()),
                in_flight: self.context.in_flight.peer_limit(),
            },
            panics: self.panics.load(Ordering::Relaxed),
            ..Figures::default()
        };
        self.context.counters.read_into(&mut figures);
        figures
    }

    /// How many exports clients have open, and those of them that most connections
    /// have, at most `limit`.
    #[must_use]
    pub fn exports(&self, limit: usize) -> (u64, Vec<OpenExport>) {
        let open = &self.context.open;
        (open.count(), open.list(limit))
    }
}

fn in_use(places: &Places) -> Use {
    Use {
        used: to_u64(places.in_use()),
        limit: to_u64(places.limit()),
    }
}
