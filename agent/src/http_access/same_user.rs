//! Whose a connection over loopback is: the kernel knows the user of both of its ends
//! (proc(5), `/proc/net/tcp`).

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
};

use rustix::process::geteuid;

/// The two ends of a connection, as this server sees them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
}

impl Connection {
    /// Whether the other end belongs to the user who runs this process. Not for a
    /// connection of another host, or where the kernel does not say.
    pub(super) fn is_of_same_user(&self) -> bool {
        if !self.local.ip().is_loopback() || !self.peer.ip().is_loopback() {
            return false;
        }
        match self.peer_user() {
            Ok(user) => user == Some(geteuid().as_raw()),
            Err(error) => {
                tracing::debug!(%error, "the user of a connection is not known");
                false
            }
        }
    }

    /// The user of the other end, which has its own line, with the ends exchanged.
    fn peer_user(&self) -> io::Result<Option<u32>> {
        let table = match self.peer {
            SocketAddr::V4(_) => "/proc/net/tcp",
            SocketAddr::V6(_) => "/proc/net/tcp6",
        };
        let ends = [shown(self.peer), shown(self.local)];
        Ok(user_of(&fs::read_to_string(table)?, &ends))
    }
}

/// The user of the socket with these ends.
fn user_of(table: &str, ends: &[String; 2]) -> Option<u32> {
    let mut lines = table.lines().skip(1).map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ends = [fields.next(), fields.next()];
        (ends, fields.nth(4))
    });
    let (_, user) = lines.find(|(found, _)| {
        let [local, peer] = found;
        *local == Some(&ends[0]) && *peer == Some(&ends[1])
    })?;
    user?.parse().ok()
}

/// An address as in the table: words of 32 bits in the order of this machine's bytes.
fn shown(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).map(|word| {
        let word: [u8; 4] = word.try_into().expect("a chunk has four bytes");
        format!("{:08X}", u32::from_ne_bytes(word))
    });
    let words: Vec<_> = words.collect();
    format!("{}:{:04X}", words.concat(), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::Connection;

    #[test]
    fn the_user_of_a_connection_is_known() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let local = listener.local_addr().unwrap();
            let client = TcpStream::connect(local).unwrap();
            let (_server, peer) = listener.accept().unwrap();
            let connection = Connection { local, peer };
            assert!(connection.is_of_same_user());
            drop(client);
            let unknown = Connection {
                local,
                peer: "127.0.0.1:1".parse().unwrap(),
            };
            assert!(!unknown.is_of_same_user());
        }
    }

    #[test]
    fn another_host_is_nobody_of_ours() {
        let connection = Connection {
            local: "127.0.0.1:80".parse().unwrap(),
            peer: "192.0.2.1:80".parse().unwrap(),
        };
        assert!(!connection.is_of_same_user());
    }
}
