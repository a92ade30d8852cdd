//! A lease: nobody else changes the machine while we do.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{client::Client, error::Error, http::pause, model::MachineId};

/// How long it lasts when we die.
const TTL: Duration = Duration::from_secs(30);
/// How often it is made to last.
const REFRESH: Duration = Duration::from_secs(10);
/// How long giving it back may take; it ends by itself anyway.
const RELEASE: Duration = Duration::from_secs(5);

/// The right to change a machine.
#[derive(Debug, Clone)]
pub struct Lease {
    nonce: String,
}

impl Lease {
    /// What changes are sent with.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }
}

impl Client {
    /// Waits for the lease of a machine, does the work while it lasts, and
    /// gives it back. The work ends when the lease is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Leased`] when somebody else has it until the deadline, and
    /// what the work fails with.
    pub async fn leased<T, F>(
        &self,
        id: &MachineId,
        deadline: Instant,
        work: impl FnOnce(Lease) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let nonce = self.acquire(id, deadline).await?;
        let lease = Lease {
            nonce: nonce.clone(),
        };
        let outcome = tokio::select! {
            outcome = work(lease) => outcome,
            lost = self.keep(id, &nonce) => Err(lost),
        };
        let released = self.release(id, &nonce, Instant::now() + RELEASE).await;
        if let Err(error) = released {
            warn!(machine = %id, %error, "a lease is not given back: it ends by itself");
        }
        outcome
    }

    async fn acquire(&self, id: &MachineId, deadline: Instant) -> Result<String, Error> {
        for times in 1.. {
            match self.lease_nonce(id, TTL, None, deadline).await {
                Err(error) if error.is_passing() => {
                    pause(times.min(4), None, deadline).await;
                }
                outcome => return outcome,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(Error::Leased(format!("machine {id}")))
    }

    /// Makes it last; comes back only when it is lost.
    async fn keep(&self, id: &MachineId, nonce: &str) -> Error {
        loop {
            sleep(REFRESH).await;
            let by = Instant::now() + TTL.saturating_sub(REFRESH);
            if let Err(error) = self.lease_nonce(id, TTL, Some(nonce), by).await {
                warn!(machine = %id, %error, "a lease is lost");
                return Error::LeaseLost(id.clone());
            }
        }
    }
}
