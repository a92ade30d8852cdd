//! The image of an agent's machine: the marks that a change of it leaves in the
//! metadata, and the way back when a new image does not become ready.

use std::mem;

use tokio::time::Instant;
use tracing::warn;

use super::metadata::{BEFORE, REFUSED, ROLLING, UNPROVEN, value};
use crate::fly::{self, Client, Config, Error, Lease, Machine, MachineId};

/// Whether a machine has another image than this, which it did not refuse.
pub(super) fn is_outdated(machine: &Machine, image: &str) -> bool {
    machine.config.image != image && value(machine, REFUSED) != Some(image)
}

/// Whether the machine is marked: a coordinator is changing its image, or was
/// killed while it did.
pub(super) fn is_marked(machine: &Machine) -> bool {
    value(machine, ROLLING).is_some()
}

/// Sets the image, and records the last one that became ready.
pub(super) fn set_image(config: &mut Config, image: &str) {
    let last = mem::replace(&mut config.image, image.to_owned());
    let before = config.metadata.entry(BEFORE.to_owned()).or_default();
    if before.is_empty() {
        *before = last;
    }
    if *before == image {
        before.clear();
    }
}

/// Marks a machine whose image is about to change.
pub(super) async fn mark(
    client: &Client,
    id: &MachineId,
    nonce: &str,
    deadline: Instant,
) -> Result<(), Error> {
    let mark = (ROLLING, "yes");
    client.set_metadata(id, mark, Some(nonce), deadline).await
}

/// Uncordons a machine, and removes its mark.
pub(super) async fn unmark(
    client: &Client,
    id: &MachineId,
    nonce: &str,
    deadline: Instant,
) -> Result<(), Error> {
    client.uncordon(id, nonce, deadline).await?;
    let mark = (ROLLING, "");
    client.set_metadata(id, mark, Some(nonce), deadline).await
}

/// Waits until no coordinator is changing the machine's image. A mark that is
/// left then is of a coordinator that was killed, and is removed.
pub(super) async fn wait_unmarked(
    client: &Client,
    id: &MachineId,
    deadline: Instant,
) -> Result<(), Error> {
    let work = |lease: Lease| async move {
        if is_marked(&client.get(id, deadline).await?) {
            warn!(machine = %id, "a coordinator was killed while it changed the image");
            unmark(client, id, lease.nonce(), deadline).await?;
        }
        Ok(())
    };
    client.leased(id, deadline, work).await
}

/// Forgets what was noted in case the machine would not become ready: it has.
pub(super) async fn prove(client: &Client, machine: &Machine, deadline: Instant) {
    for note in [BEFORE, UNPROVEN] {
        if value(machine, note).is_none() {
            continue;
        }
        let forgotten = client.set_metadata(&machine.id, (note, ""), None, deadline);
        if let Err(error) = forgotten.await {
            warn!(machine = %machine.id, note, %error, "cannot forget a note; the next start tries again");
        }
    }
}

/// Gives a machine that does not become ready the image before, with which it
/// did; whether there was one.
pub(super) async fn roll_back(
    client: &Client,
    id: &MachineId,
    deadline: Instant,
) -> Result<bool, Error> {
    if value(&client.get(id, deadline).await?, BEFORE).is_none() {
        return Ok(false);
    }
    let work = |lease: Lease| async move {
        let machine = client.get(id, deadline).await?;
        let Some(before) = value(&machine, BEFORE) else {
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
        warn!(machine = %id, image = machine.config.image, before, "rolled back to the image before");
        Ok(true)
    };
    client.leased(id, deadline, work).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{is_outdated, set_image};
    use crate::fly::Machine;

    #[test]
    fn an_image_that_did_not_become_ready_is_not_set_again() {
        let machine = json!({ "id": "m1", "state": "started", "config": { "image": "old" } });
        let mut machine: Machine = serde_json::from_value(machine).unwrap();
        assert!(is_outdated(&machine, "new") && !is_outdated(&machine, "old"));
        set_image(&mut machine.config, "new");
        assert_eq!(machine.config.image, "new");
        assert_eq!(machine.metadata("image-before"), Some("old"));
        set_image(&mut machine.config, "newer");
        assert_eq!(
            machine.metadata("image-before"),
            Some("old"),
            "new never became ready"
        );
        set_image(&mut machine.config, "old");
        assert_eq!(machine.metadata("image-before"), Some(""));
        let refused = ("image-refused".to_owned(), "new".to_owned());
        machine.config.metadata.extend([refused]);
        assert!(!is_outdated(&machine, "new") && is_outdated(&machine, "newer"));
    }
}
