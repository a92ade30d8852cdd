//! How much a server lets its clients use.

use std::time::Duration;

/// The limits of a server. Clients can reach them, never exceed them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections may be open; further ones are closed at once.
    pub connections: usize,
    /// How many connections may be in the handshake; further ones wait to be
    /// accepted.
    pub handshakes: usize,
    /// How long the server waits for a client in the handshake, in all; what
    /// [`Exports`](crate::Exports) takes is not counted.
    pub handshake_time: Duration,
    /// How many options a client may send; after `NBD_OPT_LIST`, 4 more for each
    /// export.
    pub options: u32,
    /// Bytes of requests in flight on one connection, from the request until its
    /// reply is sent. One request is served even if it is larger.
    pub connection_bytes: u32,
    /// The same on all connections.
    pub total_bytes: u32,
    /// How long a client may leave its replies unread while less than a quarter
    /// of `total_bytes` is free; then it is disconnected.
    pub stall_time: Duration,
    /// How long a server that shuts down waits for requests in flight.
    pub drain_time: Duration,
}

impl Default for Limits {
    /// 1000 connections, 100 handshakes of at most 10 seconds with 32 options,
    /// 64 MiB in flight a connection and 1 GiB in all, 30 seconds of stalling, 10
    /// seconds of draining.
    fn default() -> Self {
        Self {
            connections: 1000,
            handshakes: 100,
            handshake_time: Duration::from_secs(10),
            options: 32,
            connection_bytes: 64 << 20,
            total_bytes: 1 << 30,
            stall_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
        }
    }
}
