//! An agent that runs on another image than the template's is given that image
//! when it has nothing to do. Its work is never cut for it.
//!
//! ```text
//! lease ─► mark, cordon ─► still idle? ─► stop ─► image ─► uncordon, unmark
//!                              └─ no, or something fails ──────┘  with the image that it has
//! ```
//! It stays stopped: who asks for it next starts it. Who asks meanwhile sees the
//! mark and waits for the lease. Whoever gets the lease and finds the mark knows
//! that a coordinator was killed half way, and takes both marks away.

use std::{mem, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    App,
    metadata::{BEFORE, REFUSED, ROLLING, said},
};
use crate::fly::{self, Client, Config, Error, Lease, Machine, MachineId, State};

/// So many at the same time.
const AT_ONCE: usize = 4;
/// How long a lease is waited for: who has it will look after the image, too.
const CLAIM: Duration = Duration::from_secs(3);
/// After so long without work, none is on its way: coordinators believe for
/// 3 s that a machine is ready, and the proxy replays at once.
const SETTLED: Duration = Duration::from_secs(5);
/// How often it is looked whether it has nothing to do.
const LOOK: Duration = Duration::from_millis(500);

/// How gently it is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gently {
    /// Only what has been idle for so long.
    pub(super) idle: Duration,
    /// What finds work all the same is waited for, not longer.
    pub(super) drain: Duration,
}

/// Whether it should have this image, and has another.
pub(super) fn is_outdated(machine: &Machine, image: &str) -> bool {
    machine.config.image != image && said(machine, REFUSED) != Some(image)
}

/// Whether somebody is at it, or was.
pub(super) fn is_marked(machine: &Machine) -> bool {
    said(machine, ROLLING).is_some()
}

/// Gives a configuration this image; the last one that came up is remembered.
pub(super) fn give(config: &mut Config, image: &str) {
    let last = mem::replace(&mut config.image, image.to_owned());
    let before = config.metadata.entry(BEFORE.to_owned()).or_default();
    if before.is_empty() {
        *before = last;
    }
    if *before == image {
        before.clear();
    }
}

impl App {
    /// Gives all of these an image, a few at a time.
    pub(super) async fn roll_all(&self, machines: &[MachineId], image: &str) {
        let rolls = stream::iter(machines);
        rolls
            .for_each_concurrent(AT_ONCE, |id| async move {
                if let Err(error) = self.roll(id, image).await {
                    warn!(machine = %id, %error, "it keeps its image");
                }
            })
            .await;
    }

    async fn roll(&self, id: &MachineId, image: &str) -> Result<(), Error> {
        let client = &self.client;
        let work = |lease: Lease| async move {
            let (nonce, deadline) = (lease.nonce(), self.deadline() + self.gently.drain);
            let mark = (ROLLING, "yes");
            client.set_metadata(id, mark, Some(nonce), deadline).await?;
            self.waker.doubt(id);
            let rolled = self.roll_marked(id, image, nonce, deadline).await;
            // Whatever came of it, it is there for requests again.
            let unmarked = unmark(client, id, nonce, self.deadline()).await;
            rolled.and(unmarked)
        };
        client.leased(id, Instant::now() + CLAIM, work).await
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
        let edit = |config: &mut Config| give(config, image);
        fly::change_held(client, id, edit, nonce, deadline).await?;
        info!(machine = %id, image, "it has another image");
        Ok(())
    }

    /// Waits until nothing is on its way to it and it has nothing to do.
    async fn drained(&self, id: &MachineId, deadline: Instant) -> Result<(), Error> {
        let patience = Instant::now() + self.gently.drain;
        let machine = self.client.get(id, deadline).await?;
        if machine.state != State::Started {
            return Ok(());
        }
        let place = self.agents.place(&machine)?;
        // What it was doing before counts for nothing: somebody may be let in still.
        sleep(SETTLED).await;
        loop {
            match self.agents.status(&place).await {
                Ok(status) if status.rests(SETTLED) => return Ok(()),
                Ok(_) if Instant::now() >= patience => return Err(Error::Busy(id.clone())),
                Ok(_) => sleep(LOOK).await,
                Err(last) => {
                    let machine = id.clone();
                    return Err(Error::NotReady { machine, last });
                }
            }
        }
    }
}

/// Waits for whoever is giving it another image, and takes the marks away if
/// he has not.
pub(super) async fn waited_for(
    client: &Client,
    id: &MachineId,
    deadline: Instant,
) -> Result<(), Error> {
    let work = |lease: Lease| async move {
        if is_marked(&client.get(id, deadline).await?) {
            warn!(machine = %id, "somebody was killed while he gave it another image");
            unmark(client, id, lease.nonce(), deadline).await?;
        }
        Ok(())
    };
    client.leased(id, deadline, work).await
}

async fn unmark(
    client: &Client,
    id: &MachineId,
    nonce: &str,
    deadline: Instant,
) -> Result<(), Error> {
    client.uncordon(id, nonce, deadline).await?;
    let mark = (ROLLING, "");
    client.set_metadata(id, mark, Some(nonce), deadline).await
}

/// It has come up with its image, and needs the one before no more.
pub(super) async fn came_up(client: &Client, machine: &Machine, deadline: Instant) {
    if said(machine, BEFORE).is_none() {
        return;
    }
    let forgotten = client.set_metadata(&machine.id, (BEFORE, ""), None, deadline);
    if let Err(error) = forgotten.await {
        warn!(machine = %machine.id, %error, "it will be asked again which image it had before");
    }
}

/// Gives a machine that does not come up the image before, with which it did;
/// whether there was one.
pub(super) async fn taken_back(
    client: &Client,
    id: &MachineId,
    deadline: Instant,
) -> Result<bool, Error> {
    if said(&client.get(id, deadline).await?, BEFORE).is_none() {
        return Ok(false);
    }
    let work = |lease: Lease| async move {
        let machine = client.get(id, deadline).await?;
        let Some(before) = said(&machine, BEFORE) else {
            return Ok(false);
        };
        let nonce = lease.nonce();
        fly::stop(client, id, Some(nonce), deadline).await?;
        let edit = |config: &mut Config| {
            let refused = mem::replace(&mut config.image, before.to_owned());
            config.metadata.insert(REFUSED.to_owned(), refused);
            config.metadata.remove(BEFORE);
        };
        fly::change_held(client, id, edit, nonce, deadline).await?;
        warn!(machine = %id, image = machine.config.image, before, "it has the image before again");
        Ok(true)
    };
    client.leased(id, deadline, work).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{give, is_outdated};
    use crate::fly::Machine;

    #[test]
    fn an_image_that_did_not_come_up_is_not_given_again() {
        let machine = json!({ "id": "m1", "state": "started", "config": { "image": "old" } });
        let mut machine: Machine = serde_json::from_value(machine).unwrap();
        assert!(is_outdated(&machine, "new") && !is_outdated(&machine, "old"));
        give(&mut machine.config, "new");
        assert_eq!(machine.config.image, "new");
        assert_eq!(machine.metadata("image-before"), Some("old"));
        give(&mut machine.config, "newer");
        assert_eq!(
            machine.metadata("image-before"),
            Some("old"),
            "new never came up"
        );
        give(&mut machine.config, "old");
        assert_eq!(machine.metadata("image-before"), Some(""));
        let refused = ("image-refused".to_owned(), "new".to_owned());
        machine.config.metadata.extend([refused]);
        assert!(!is_outdated(&machine, "new") && is_outdated(&machine, "newer"));
    }
}
