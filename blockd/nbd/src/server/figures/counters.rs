//! What only grows.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{
    kinds::{
        Answer, Answers, Command, Commands, Ending, Endings, NbdError, NbdErrors, Refusals, Refused,
    },
    reading::Figures,
    times::Histogram,
};
use crate::export::OpenError;

/// What a server has counted since its start. Every method is a few relaxed
/// additions.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    accepted: AtomicU64,
    refused: Refusals<AtomicU64>,
    ended: Endings<AtomicU64>,
    opens: Answers<Histogram>,
    commands: Commands<Histogram>,
    errors: NbdErrors<AtomicU64>,
    read_bytes: AtomicU64,
    sent_bytes: AtomicU64,
}

impl Counters {
    /// A client was let in.
    pub(crate) fn accept(&self) {
        one(&self.accepted);
    }

    /// A client was closed at once.
    pub(crate) fn refuse(&self, refused: Refused) {
        one(self.refused.of(refused));
    }

    /// A connection has ended.
    pub(crate) fn end(&self, ending: Ending) {
        one(self.ended.of(ending));
    }

    /// An export was asked for, and the answer took so long.
    pub(crate) fn open<T>(&self, opened: &Result<T, OpenError>, took: Duration) {
        self.opens.of(Answer::of(opened)).add(took, 1);
    }

    /// So many commands are answered, `took` after they were received.
    pub(crate) fn answer(&self, command: Command, took: Duration, count: u32) {
        self.commands.of(command).add(took, count);
    }

    /// A reply has an error.
    pub(crate) fn error(&self, error: u32) {
        one(self.errors.of(NbdError::of(error)));
    }

    /// Bytes of reads that succeeded.
    pub(crate) fn read(&self, bytes: u64) {
        self.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of replies, their headers among them.
    pub(crate) fn send(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Writes how they stand into `figures`.
    pub(crate) fn read_into(&self, figures: &mut Figures) {
        let number = |(name, number): (&'static str, &AtomicU64)| (name, load(number));
        let times = |(name, times): (&'static str, &Histogram)| (name, times.read());
        figures.accepted = load(&self.accepted);
        figures.refused = self.refused.named().map(number).collect();
        figures.ended = self.ended.named().map(number).collect();
        figures.opens = self.opens.named().map(times).collect();
        figures.commands = self.commands.named().map(times).collect();
        figures.errors = self.errors.named().map(number).collect();
        figures.read_bytes = load(&self.read_bytes);
        figures.sent_bytes = load(&self.sent_bytes);
    }
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
