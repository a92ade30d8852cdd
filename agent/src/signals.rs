//! The signals that ask this process to end.

use std::{future::poll_fn, io, task::Poll};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that end a process unless it handles them. From [`listen`](Self::listen)
/// on they are delivered here instead.
#[derive(Debug)]
pub(crate) struct EndSignals(Vec<Signal>);

impl EndSignals {
    /// Listens for SIGTERM and SIGINT.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed.
    pub(crate) fn listen() -> io::Result<Self> {
        Self::of(&[SignalKind::terminate(), SignalKind::interrupt()])
    }

    /// Listens for SIGTERM, SIGINT and SIGHUP, which a terminal sends when it is closed.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed.
    pub(crate) fn listen_with_hangup() -> io::Result<Self> {
        Self::of(&[
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
        ])
    }

    fn of(kinds: &[SignalKind]) -> io::Result<Self> {
        let signals = kinds.iter().map(|kind| signal(*kind));
        Ok(Self(signals.collect::<io::Result<_>>()?))
    }

    /// Waits for the next of them.
    pub(crate) async fn received(&mut self) {
        poll_fn(|context| {
            let mut signals = self.0.iter_mut();
            if signals.any(|signal| signal.poll_recv(context).is_ready()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
