//! How the figures of a server stand at one moment.

use super::times::Times;

/// How much of a budget is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// So much is.
    pub used: u64,
    /// So much may be.
    pub limit: u64,
}

/// How much one peer may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerLimits {
    /// Connections.
    pub connections: u64,
    /// Those of them that are in the handshake.
    pub handshakes: u64,
    /// Bytes of requests in flight.
    pub in_flight: u64,
}

/// What a server has done since its start, and what is in use. The names that
/// stand beside the numbers are always the same ones.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Connections that are open.
    pub connections: Use,
    /// Those of them that are in the handshake.
    pub handshakes: Use,
    /// The peers that have them.
    pub peers: u64,
    /// Bytes of requests in flight
    /// ([`Limits::total_bytes`](crate::Limits::total_bytes)).
    pub in_flight: Use,
    /// How much of them one peer may have.
    pub peer_limits: PeerLimits,
    /// Clients that were let in.
    pub accepted: u64,
    /// Clients that were closed at once, by the limit that was reached.
    pub refused: Vec<(&'static str, u64)>,
    /// Connections that ended, by the reason.
    pub ended: Vec<(&'static str, u64)>,
    /// How long it took to open exports, by what came of it.
    pub opens: Vec<(&'static str, Times)>,
    /// How long commands took, from when the server had received them until their
    /// reply was ready to be sent.
    pub commands: Vec<(&'static str, Times)>,
    /// Replies with an error, by its name in the protocol.
    pub errors: Vec<(&'static str, u64)>,
    /// Bytes that clients have read.
    pub read_bytes: u64,
    /// Bytes that were sent in replies: fewer than were read where there are holes.
    pub sent_bytes: u64,
    /// Panics, each of which has ended a connection.
    pub panics: u64,
}
