//! Waiting for a signal that asks this process to end.

use std::io;

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

/// What SIGHUP does, which the kernel sends when the terminal is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangUp {
    /// Ends the process at once, as it does by default.
    Default,
    /// Asks the process to end, as SIGTERM does.
    Ends,
    /// Nothing: a daemon outlives the terminal it was started from.
    Ignored,
}

/// SIGINT and SIGTERM, caught since [`EndSignals::catch`].
#[derive(Debug)]
pub(crate) struct EndSignals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
    treatment: HangUp,
}

impl EndSignals {
    /// Catches the signals from now on. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the kernel refuses to install a handler.
    pub(crate) fn catch(treatment: HangUp) -> io::Result<Self> {
        let hang_up = match treatment {
            HangUp::Default => None,
            HangUp::Ends | HangUp::Ignored => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
            treatment,
        })
    }

    /// Waits for a signal that asks the process to end; returns its name.
    pub(crate) async fn received(&mut self) -> &'static str {
        let hang_up = async {
            match (&mut self.hang_up, self.treatment) {
                (Some(hang_up), HangUp::Ends) => hang_up.recv().await,
                _ => std::future::pending().await,
            }
        };
        select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hang_up => "SIGHUP",
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    /// One test, since signals are the whole process's.
    #[tokio::test]
    async fn each_signal_does_what_was_said() {
        let mut daemon = EndSignals::catch(HangUp::Ignored).unwrap();
        let mut client = EndSignals::catch(HangUp::Ends).unwrap();
        kill_process(getpid(), Signal::HUP).unwrap();
        assert_eq!(client.received().await, "SIGHUP");
        kill_process(getpid(), Signal::TERM).unwrap();
        assert_eq!(daemon.received().await, "SIGTERM");
        assert_eq!(client.received().await, "SIGTERM");
        kill_process(getpid(), Signal::INT).unwrap();
        assert_eq!(daemon.received().await, "SIGINT");
    }
}
