//! As many connections as a server has places for.

use std::net::Ipv4Addr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{MIB, client::Client, memory, repos};
use crate::harness::TestBlockd;

const CONNECTIONS: u32 = 10_000;
const ADDRESSES: u32 = 100;
/// How many of them read on.
const READERS: usize = 64;
/// What a connection may take: the buffer of what it sends, and its task.
const EACH: u64 = 48 << 10;

#[test]
#[ignore = "10,000 connections take as many open files: make soak"]
fn ten_thousand_connections_of_a_hundred_addresses_are_served() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    assert!(
        maximum.is_none_or(|files| files >= 2 * u64::from(CONNECTIONS)),
        "a server has as many places as half of its open files: {maximum:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    repos::write(folder.path(), 1, 1);
    let server = TestBlockd::serve_with(folder.path(), &["--listen", "127.0.0.1:0"]);
    let first = connect(&server, 0);
    let mut clients = vec![first];
    let before = memory(&server, "VmRSS");
    for number in 1..CONNECTIONS {
        clients.push(connect(&server, number));
        if (number + 1).is_multiple_of(2500) {
            let now = memory(&server, "VmRSS");
            println!("{:>6} connections: {} MiB", number + 1, now / MIB);
        }
    }
    let open = memory(&server, "VmRSS");
    let each = open.saturating_sub(before) / u64::from(CONNECTIONS);
    assert!(each < EACH, "{each} bytes for each connection");
    for round in 0..200 {
        for client in clients.iter_mut().take(READERS) {
            let blocks = client.size / 65536;
            client.read(round % blocks * 65536, 65536).unwrap();
        }
    }
    let read = memory(&server, "VmRSS");
    println!(
        "{READERS} of them have read: {} MiB, {each} bytes each",
        read / MIB
    );
    for client in &mut clients {
        client.read(0, 512).unwrap();
    }
    let last = memory(&server, "VmRSS");
    println!("all have read: {} MiB", last / MIB);
    assert!(last < open + 64 * MIB, "{} MiB", last / MIB);
}

fn connect(server: &TestBlockd, number: u32) -> Client {
    let last = u8::try_from(1 + number % ADDRESSES).unwrap();
    let from = Ipv4Addr::new(127, 0, 2, last);
    let client = Client::open(from, server.port(), "app@main:history=none");
    let mut client = client.unwrap_or_else(|error| panic!("connection {number}: {error}"));
    client.read(0, 512).unwrap();
    client
}
