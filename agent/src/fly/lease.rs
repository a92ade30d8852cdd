//! Leases: while we hold a machine's lease, nobody else changes the machine.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{backoff::backoff, client::Client, error::Error, model::MachineId};

const TTL_SECONDS: u64 = 30;
const REFRESH_SECONDS: u64 = 10;
/// How long a lease outlives us.
const TTL: Duration = Duration::from_secs(TTL_SECONDS);
/// How often a lease is extended.
const REFRESH_INTERVAL: Duration = Duration::from_secs(REFRESH_SECONDS);
/// How long an extension may take: as long as the lease still lasts.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(TTL_SECONDS - REFRESH_SECONDS);
/// How long the release may take; a lease expires by itself anyway.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between attempts to take a lease stops growing after so many.
const MAX_BACKOFF: u32 = 3;

/// The right to change a machine.
#[derive(Debug, Clone)]
pub struct Lease {
    nonce: String,
}

impl Lease {
    /// What requests under this lease carry.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }
}

impl Client {
    /// Waits for the lease of a machine, runs `work` while holding it, and
    /// releases it. The work is dropped when the lease is lost.
    ///
    /// # Errors
    ///
    /// [`Error::Leased`] when somebody else holds the lease until the deadline,
    /// [`Error::LeaseLost`] when it cannot be extended, and the errors of the work.
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
            lost = self.refresh(id, &nonce) => Err(lost),
        };
        let released = self.release(id, &nonce, Instant::now() + RELEASE_TIMEOUT);
        if let Err(error) = released.await {
            warn!(machine = %id, %error, "cannot release a lease: it expires by itself");
        }
        outcome
    }

    async fn acquire(&self, id: &MachineId, deadline: Instant) -> Result<String, Error> {
        for attempt in 0.. {
            match self.lease_nonce(id, TTL, None, deadline).await {
                Err(error) if error.is_transient() => {
                    backoff(attempt.min(MAX_BACKOFF), None, deadline).await;
                }
                outcome => return outcome,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(Error::Leased(format!("machine {id}")))
    }

    /// Extends the lease again and again; returns only when it is lost.
    async fn refresh(&self, id: &MachineId, nonce: &str) -> Error {
        loop {
            sleep(REFRESH_INTERVAL).await;
            let deadline = Instant::now() + REFRESH_TIMEOUT;
            if let Err(error) = self.lease_nonce(id, TTL, Some(nonce), deadline).await {
                warn!(machine = %id, %error, "a lease was lost");
                return Error::LeaseLost(id.clone());
            }
        }
    }
}
