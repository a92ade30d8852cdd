//! What a client occupies while it is connected.

use std::sync::Arc;

use crate::{
    budget::{Peer, Place},
    identity::Identity,
};

/// A client that was let in.
pub(crate) struct Admission {
    pub(super) identity: Identity,
    /// Until the handshake is over; `None` where nobody counts.
    pub(super) handshake: Option<Place>,
    /// Until the connection is.
    pub(super) connection: Option<Arc<Place>>,
}

impl Admission {
    /// The only client there is: nothing is counted.
    pub(crate) fn only() -> Self {
        Self {
            identity: Identity::new(Peer::Own),
            handshake: None,
            connection: None,
        }
    }
}
