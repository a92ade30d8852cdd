//! Who spends.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::atomic::{AtomicU64, Ordering},
};

/// Who is at the other end, as far as the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// The address of a TCP client. IPv6 clients count by their network of 64
    /// bits, since each host of it has as many addresses as it likes.
    Address(IpAddr),
    /// The user of a client on a Unix socket.
    User(u32),
    /// The one client on standard input, or the program itself.
    Own,
}

impl Peer {
    /// The peer of a TCP address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let canonical = match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        };
        Self::Address(canonical)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::User(user) => write!(f, "user {user}"),
            Self::Own => f.write_str("this process"),
        }
    }
}

/// A connection and its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spender {
    /// Who is at the other end.
    pub peer: Peer,
    /// Unlike every other connection of this process.
    pub connection: u64,
}

impl Spender {
    /// A new connection of `peer`.
    #[must_use]
    pub fn new(peer: Peer) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            peer,
            connection: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }
}
