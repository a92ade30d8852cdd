//! Two clients that read and open, and how long that takes them.

use std::{
    io,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use super::client::Client;

/// How long each read and each open took.
#[derive(Default)]
pub(super) struct Times {
    pub(super) reads: Vec<Duration>,
    pub(super) opens: Vec<Duration>,
}

/// Two clients, each of an address of its own: each opens so often, and reads 16
/// times then.
pub(super) fn work(port: u16, opens: u32) -> Times {
    let client = |last| move || one(Ipv4Addr::new(127, 0, 0, last), port, opens);
    let clients = [2, 3].map(|last| thread::spawn(client(last)));
    let mut all = Times::default();
    for client in clients {
        let times = client.join().unwrap();
        let times = times.unwrap_or_else(|error| panic!("an honest client failed: {error}"));
        all.reads.extend(times.reads);
        all.opens.extend(times.opens);
    }
    all
}

fn one(from: Ipv4Addr, port: u16, opens: u32) -> io::Result<Times> {
    let mut times = Times::default();
    for number in (0..opens).map(u64::from) {
        let begun = Instant::now();
        // Most are in use already; some are planned anew.
        let name = format!("app@main:history=none:free={}M", 1 + number % 8);
        let mut client = Client::open(from, port, &name)?;
        times.opens.push(begun.elapsed());
        for step in 0..16_u64 {
            let blocks = client.size / 65536;
            let at = (number * 31 + step * 7) % blocks * 65536;
            let begun = Instant::now();
            client.read(at, 65536)?;
            times.reads.push(begun.elapsed());
        }
    }
    Ok(times)
}

/// The time that this part of all were within.
pub(super) fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
