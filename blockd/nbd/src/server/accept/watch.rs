//! What one can see of a server from outside of its connections.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use super::ServerState;
use crate::{
    budget::Places,
    server::figures::{Figures, OpenExport, Use},
    width::to_u64,
};

/// Shows what a server does; looking costs its clients nothing but a short lock.
#[derive(Clone)]
pub struct Watch(Arc<ServerState>);

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(state: Arc<ServerState>) -> Self {
        Self(state)
    }

    /// How its figures stand.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let state = &self.0;
        let mut figures = Figures {
            connections: in_use(&state.connections),
            handshakes: in_use(&state.handshakes),
            peers: to_u64(state.connections.peers()),
            in_flight: state.context.memory.in_use(),
            panics: state.panics.load(Ordering::Relaxed),
            ..Figures::default()
        };
        state.context.counters.read_into(&mut figures);
        figures
    }

    /// How many exports clients have open, and those of them that most connections
    /// have, at most `limit`.
    #[must_use]
    pub fn exports(&self, limit: usize) -> (u64, Vec<OpenExport>) {
        let open = &self.0.context.open;
        (open.count(), open.list(limit))
    }
}

fn in_use(places: &Places) -> Use {
    Use {
        used: to_u64(places.in_use()),
        limit: to_u64(places.limit()),
    }
}
