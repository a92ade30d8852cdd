//! How much a server lets its clients use.

use std::time::Duration;

/// The limits of a server. Clients can reach them, never exceed them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections may be open. One more closes the one that was idle for
    /// longest, if that is [`Limits::idle_time`], else it is closed itself.
    pub connections: usize,
    /// The same for one peer.
    pub peer_connections: usize,
    /// How long a connection is idle before it may be closed for another, where
    /// places are scarce.
    pub idle_time: Duration,
    /// How many connections may be in the handshake. One more closes the oldest
    /// that waits for its client.
    pub handshakes: usize,
    /// The same for one peer.
    pub peer_handshakes: usize,
    /// How long the server waits for a client in the handshake, TLS and all
    /// options together; what [`Exports`](crate::Exports) takes is not counted.
    pub handshake_time: Duration,
    /// How many options a client may send; after `NBD_OPT_LIST`, 4 more for each
    /// export.
    pub options: u32,
    /// Bytes of requests in flight on one connection, from the request until its
    /// reply is sent. One request is served even if it is larger.
    pub connection_bytes: u32,
    /// The same on all connections of a peer.
    pub peer_bytes: u32,
    /// The same on all connections.
    pub total_bytes: u32,
    /// How long a client may leave its replies unread while less than a quarter
    /// of `total_bytes`, or of `peer_bytes`, is free; then it is disconnected.
    pub stall_time: Duration,
    /// How long a client may leave its replies unread in any case.
    pub unread_time: Duration,
    /// How long a server that shuts down waits for requests in flight.
    pub drain_time: Duration,
}

impl Default for Limits {
    /// 10,000 connections, 1000 of a peer, of which one may go that was idle for a
    /// minute; 512 handshakes, 128 of a peer, of at most 10 seconds with 32 options;
    /// 64 MiB in flight a connection, 512 MiB a peer and 1 GiB in all, 30 seconds of
    /// stalling, 10 minutes while there is memory, 10 seconds of draining.
    fn default() -> Self {
        Self {
            connections: 10_000,
            peer_connections: 1000,
            idle_time: Duration::from_secs(60),
            handshakes: 512,
            peer_handshakes: 128,
            handshake_time: Duration::from_secs(10),
            options: 32,
            connection_bytes: 64 << 20,
            peer_bytes: 512 << 20,
            total_bytes: 1 << 30,
            stall_time: Duration::from_secs(30),
            unread_time: Duration::from_secs(600),
            drain_time: Duration::from_secs(10),
        }
    }
}
