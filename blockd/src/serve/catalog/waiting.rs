//! Whether anybody still waits for what is being opened.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use blockd_nbd::budget::Peer;
use imagegen::{Error, Kind};

use super::priority;

/// Held by whoever waits; dropped when the connection ends.
#[derive(Debug)]
pub(super) struct Waiting {
    gone: Arc<AtomicBool>,
    peer: Peer,
}

/// Asked by what it is done for.
#[derive(Clone, Debug)]
pub(super) struct Waited {
    gone: Arc<AtomicBool>,
    /// Who waits.
    pub(super) peer: Peer,
}

impl Waiting {
    pub(super) fn new(peer: Peer) -> Self {
        let gone = Arc::default();
        Self { gone, peer }
    }

    /// For the work.
    pub(super) fn waited(&self) -> Waited {
        let (gone, peer) = (Arc::clone(&self.gone), self.peer);
        Waited { gone, peer }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

impl Waited {
    /// Goes on while somebody waits.
    ///
    /// # Errors
    ///
    /// That nobody does.
    pub(super) fn go_on(&self) -> Result<(), Error> {
        priority::go_on();
        if self.gone.load(Ordering::Relaxed) {
            let text = "the client has closed the connection before it was opened";
            return Err(Error::new(Kind::Io, text));
        }
        Ok(())
    }

    /// Goes on while somebody waits, and for `time` from now on; then calls
    /// `too_late`.
    pub(super) fn within(
        &self,
        time: Duration,
        too_late: &dyn Fn(),
    ) -> impl Fn() -> Result<(), Error> {
        let begun = Instant::now();
        move || {
            self.go_on()?;
            if begun.elapsed() < time {
                return Ok(());
            }
            too_late();
            let text = format!(
                "it takes longer than {time:?} to find: name the branch, tag or commit, or start \
                 the server with a greater --revision-time"
            );
            Err(Error::new(Kind::Unsupported, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_or_takes_too_long_ends() {
        let waiting = Waiting::new(Peer::Own);
        let waited = waiting.waited();
        let (short, long) = (
            waited.within(Duration::ZERO, &|| ()),
            waited.within(Duration::from_secs(3600), &|| ()),
        );
        let text = short().unwrap_err().to_string();
        assert!(text.contains("--revision-time"), "{text}");
        assert!(long().is_ok() && waited.go_on().is_ok());
        drop(waiting);
        assert!(long().is_err() && waited.go_on().is_err());
    }
}
