//! Rolling update: a running agent whose image is not the template's gets that
//! image while it is idle. Its work is never interrupted for it.
//!
//! ```text
//! lease ─► mark, cordon ─► still idle? ─► stop ─► image ─► uncordon, unmark
//!                              └─ no, or an error ─────────┘  with the old image
//! ```
//! The machine stays stopped: the next request for it starts it. A request that
//! arrives meanwhile sees the mark, and waits for the lease. Whoever holds the
//! lease and finds a mark knows that a coordinator was killed in between, and
//! removes both mark and cordon.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    agents::Agents,
    image::{mark, set_image, unmark},
    waker::Waker,
};
use crate::fly::{self, Client, Config, Error, Lease, MachineId, State};

/// How many machines are updated at the same time.
const MAX_CONCURRENT: usize = 4;
/// How long to wait for a lease: its holder will see to the image, too.
const LEASE_TIMEOUT: Duration = Duration::from_secs(3);
/// After so long no request is under way to a cordoned machine: coordinators
/// cache for 3 s that a machine is ready, and the proxy replays at once.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// The pause between two looks at an agent that has work to finish.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// When a running agent gets a new image.
#[derive(Debug, Clone, Copy)]
pub struct RollPolicy {
    /// Only an agent that has been idle for so long.
    pub idle: Duration,
    /// How long to wait for work that arrives all the same.
    pub drain: Duration,
}

/// Gives machines a new image.
#[derive(Debug)]
pub(super) struct Roller {
    pub(super) client: Client,
    pub(super) agents: Arc<Agents>,
    pub(super) waker: Arc<Waker>,
    pub(super) policy: RollPolicy,
    pub(super) request_timeout: Duration,
}

impl Roller {
    /// Gives all of these machines an image, a few at a time.
    pub(super) async fn roll_all(&self, machines: &[MachineId], image: &str) {
        let rolls = stream::iter(machines);
        rolls
            .for_each_concurrent(MAX_CONCURRENT, |id| async move {
                if let Err(error) = self.roll(id, image).await {
                    warn!(machine = %id, %error, "the machine retains its image");
                }
            })
            .await;
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }

    async fn roll(&self, id: &MachineId, image: &str) -> Result<(), Error> {
        let client = &self.client;
        let work = |lease: Lease| async move {
            let (nonce, deadline) = (lease.nonce(), self.deadline() + self.policy.drain);
            mark(client, id, nonce, deadline).await?;
            self.waker.invalidate(id);
            let rolled = self.roll_marked(id, image, nonce, deadline).await;
            // Whatever the outcome, the machine takes requests again.
            let unmarked = unmark(client, id, nonce, self.deadline()).await;
            rolled.and(unmarked)
        };
        let deadline = Instant::now() + LEASE_TIMEOUT;
        client.leased(id, deadline, work).await
    }

    async fn roll_marked(
        &self,
        id: &MachineId,
        image: &str,
        nonce: &str,
        deadline: Instant,
    ) -> Result<(), Error> {
        let client = &self.client;
        client.cordon(id, nonce, deadline).await?;
        self.drained(id, deadline).await?;
        fly::stop(client, id, Some(nonce), deadline).await?;
        let edit = |config: &mut Config| set_image(config, image);
        fly::change_held(client, id, edit, nonce, deadline).await?;
        info!(machine = %id, image, "the machine has a new image");
        Ok(())
    }

    /// Waits until no request is under way to the machine and its agent is idle.
    async fn drained(&self, id: &MachineId, deadline: Instant) -> Result<(), Error> {
        let drain_deadline = Instant::now() + self.policy.drain;
        let machine = self.client.get(id, deadline).await?;
        if machine.state != State::Started {
            return Ok(());
        }
        let agent = self.agents.address(&machine)?;
        // What the agent did before this does not count: requests may still arrive.
        sleep(DRAIN_TIME).await;
        loop {
            match self.agents.status(&agent).await {
                Ok(status) if status.rests(DRAIN_TIME) => return Ok(()),
                Ok(_) if Instant::now() >= drain_deadline => return Err(Error::Busy(id.clone())),
                Ok(_) => sleep(POLL_INTERVAL).await,
                Err(last) => {
                    let machine = id.clone();
                    return Err(Error::NotReady { machine, last });
                }
            }
        }
    }
}
