//! What strangers do to a server, each for as long as it is told to.

use std::{
    io,
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{client::Client, repos::BOMBS};
use crate::harness::peer::LIST;

/// An attack, its name, and how many do it at once.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) threads: u8,
    run: fn(&Attacker<'_>) -> io::Result<()>,
}

/// One of those that attack.
pub(super) struct Attacker<'a> {
    pub(super) port: u16,
    pub(super) from: Ipv4Addr,
    pub(super) stop: &'a AtomicBool,
    /// Counts what is done, so that no two are the same.
    pub(super) done: &'a AtomicU64,
    /// How many connections each holds.
    pub(super) connections: usize,
}

pub(super) const ATTACKS: [Attack; 8] = [
    attack("idle connections", 2, idle),
    attack("silent sockets", 2, silent),
    attack("CACHE of 4 GiB", 2, cache),
    attack("conversion bombs", 3, conversions),
    attack("plan bombs", 3, plans),
    attack("revision searches", 3, revisions),
    attack("replies that nobody takes", 2, unread),
    attack("handshakes", 2, handshakes),
];

const fn attack(
    name: &'static str,
    threads: u8,
    run: fn(&Attacker<'_>) -> io::Result<()>,
) -> Attack {
    Attack { name, threads, run }
}

/// Between looks at whether it is over.
const STEP: Duration = Duration::from_millis(20);

impl Attack {
    /// Attacks until it is over. What the server refuses is tried again.
    pub(super) fn go_on(&self, attacker: &Attacker<'_>) {
        while !attacker.stop.load(Relaxed) {
            drop((self.run)(attacker));
        }
    }
}

impl Attacker<'_> {
    fn next(&self) -> u64 {
        self.done.fetch_add(1, Relaxed)
    }

    fn open(&self, name: &str) -> io::Result<Client> {
        Client::open(self.from, self.port, name)
    }

    /// Holds as many as it may have.
    fn hold_many(&self, open: impl Fn() -> io::Result<Client>) -> io::Result<()> {
        let mut clients = vec![open()?];
        while clients.len() < self.connections
            && let Ok(client) = open()
        {
            clients.push(client);
        }
        self.hold(clients);
        Ok(())
    }

    /// Holds these until it is over, or the server ends the last of them.
    fn hold(&self, mut clients: Vec<Client>) {
        while !self.stop.load(Relaxed) {
            let ended = clients.last_mut().map(|client| client.wait(STEP));
            if ended.is_none_or(|waited| {
                waited.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
            }) {
                return;
            }
        }
    }
}

fn idle(attacker: &Attacker<'_>) -> io::Result<()> {
    attacker.hold_many(|| attacker.open("app@main"))
}

fn silent(attacker: &Attacker<'_>) -> io::Result<()> {
    attacker.hold_many(|| Client::silent(attacker.from, attacker.port))
}

fn cache(attacker: &Attacker<'_>) -> io::Result<()> {
    let mut client = attacker.open("app@main:history=none:free=8G")?;
    for _ in 0..64 {
        client.cache()?;
    }
    attacker.hold(vec![client]);
    Ok(())
}

fn conversions(attacker: &Attacker<'_>) -> io::Result<()> {
    let free = attacker.next() % 16;
    let mut client = attacker.open(&format!("conv@main:history=none:free={free}M"))?;
    let mut at = 0;
    while at < client.size && !attacker.stop.load(Relaxed) {
        client.read(at, 1 << 20)?;
        at += 1 << 20;
    }
    Ok(())
}

fn plans(attacker: &Attacker<'_>) -> io::Result<()> {
    let next = attacker.next();
    let (commit, free) = (next % BOMBS, next % 64);
    let client = attacker.open(&format!("bomb@b{commit}:history=none:free={free}M"))?;
    attacker.hold(vec![client]);
    Ok(())
}

fn revisions(attacker: &Attacker<'_>) -> io::Result<()> {
    let next = attacker.next();
    let name = format!("long@main^{{/nobody wrote this {next}}}");
    if next.is_multiple_of(3) {
        // Gone before the answer.
        let mut client = Client::greeted(attacker.from, attacker.port)?;
        client.go(&name)?;
        return Ok(());
    }
    attacker.open(&name).map(drop)
}

fn unread(attacker: &Attacker<'_>) -> io::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..attacker.connections.min(16) {
        let mut client = attacker.open("app@main:history=none:free=64M")?;
        for _ in 0..8 {
            client.ask(0, 8 << 20)?;
        }
        clients.push(client);
    }
    attacker.hold(clients);
    Ok(())
}

fn handshakes(attacker: &Attacker<'_>) -> io::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..attacker.connections {
        let mut client = Client::greeted(attacker.from, attacker.port)?;
        client.option(LIST)?;
        clients.push(client);
    }
    Ok(())
}
