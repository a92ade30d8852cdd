//! What is counted of a connection.
//!
//! Requests that are answered from memory are counted in the connection's own
//! numbers, and added to the server's once for all that one send has: the clock is
//! read twice for each burst, and never for a request of it.

use std::time::Instant;

use super::reply::Reply;
use crate::{
    server::figures::{Command, Commands, Counters, Visit},
    width::to_u64,
};

/// What was answered, and is not sent yet.
#[derive(Debug)]
pub(super) struct Tally {
    visit: Visit,
    /// When the burst began that is being answered.
    received: Instant,
    answered: Commands<u32>,
    any: bool,
    read_bytes: u64,
}

impl Tally {
    pub(super) fn new(visit: Visit) -> Self {
        Self {
            visit,
            received: Instant::now(),
            answered: Commands::default(),
            any: false,
            read_bytes: 0,
        }
    }

    /// A burst begins.
    pub(super) fn begin(&mut self) {
        self.received = Instant::now();
    }

    /// When the requests were received that are being answered.
    pub(super) fn received(&self) -> Instant {
        self.received
    }

    /// A request has its reply in the send buffer.
    pub(super) fn answered(&mut self, reply: Reply) {
        self.answered.add(reply.command);
        self.any = true;
    }

    /// So many bytes that were read are in the send buffer.
    pub(super) fn read(&mut self, bytes: u32) {
        self.read_bytes = self.read_bytes.saturating_add(bytes.into());
    }

    /// Adds all that is to be sent, `bytes` of it, to the server's figures.
    pub(super) fn settle(&mut self, counters: &Counters, bytes: usize) {
        if bytes > 0 {
            counters.send(to_u64(bytes));
        }
        if !self.any {
            return;
        }
        let took = self.received.elapsed();
        for (command, count) in self.answered.all() {
            if count > 0 {
                counters.answer(command, took, count);
            }
        }
        let reads = *self.answered.of(Command::Read);
        self.count_reads(counters, reads, self.read_bytes);
        (self.answered, self.any, self.read_bytes) = (Commands::default(), false, 0);
    }

    /// A request that had to wait is done; it has read so many bytes.
    pub(super) fn completed(&self, counters: &Counters, reply: Reply, bytes: u32) {
        counters.answer(reply.command, reply.received.elapsed(), 1);
        let reads = u32::from(reply.command == Command::Read);
        self.count_reads(counters, reads, bytes.into());
    }

    fn count_reads(&self, counters: &Counters, reads: u32, bytes: u64) {
        if reads > 0 {
            counters.read(bytes);
            self.visit.add(reads.into(), bytes);
        }
    }
}
