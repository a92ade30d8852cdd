//! Who a client is.

use std::{net::IpAddr, sync::Arc};

use crate::budget::{Peer, Spender};

/// Who is at the other end of a connection, as far as the system and TLS say.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Whom its requests are charged to.
    pub spender: Spender,
    /// The whole address of a TCP client; `None` for any other.
    pub address: Option<IpAddr>,
    /// The DNS names (subjectAltName, RFC 5280, section 4.2.1.6) of the
    /// certificate with which the client has proved who it is, in lower case; none
    /// without one.
    pub certificate_names: Arc<[String]>,
}

impl Identity {
    /// A new connection of `peer`, of which nothing else is known.
    #[must_use]
    pub fn new(peer: Peer) -> Self {
        Self {
            spender: Spender::new(peer),
            address: None,
            certificate_names: Arc::default(),
        }
    }

    /// A new connection of a TCP client.
    #[must_use]
    pub fn of_address(address: IpAddr) -> Self {
        Self {
            address: Some(address.to_canonical()),
            ..Self::new(Peer::of(address))
        }
    }
}
