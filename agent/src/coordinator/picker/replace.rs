//! The machine in the place of one that the platform has lost: made once, with the
//! old one's configuration and the name of its changes in the store.
//!
//! ```text
//! lost ── replaced-by ─► replacement        the old one may no longer take metadata,
//!      ◄── replaces ────                    or be gone altogether: then `replaces` says it
//! ```
//! A replacement that has never become ready is itself not replaced: whatever
//! ended both would end the next one.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{MAX_NAMES, Picker, assigned};
use crate::{
    coordinator::{
        metadata::{
            AGENT, BEFORE, KEY, REFUSED, REPLACED_BY, REPLACES, ROLE, ROLLING, TASK, UNPROVEN,
            value,
        },
        spec::CHANGES_NAME,
    },
    fly::{Config, Create, Error, Filter, Lease, Machine, MachineId},
};

/// How many machines in a row may have been lost.
const MAX_LOST: usize = 16;
/// What was noted of the old machine only.
const NOT_INHERITED: [&str; 4] = [REPLACED_BY, ROLLING, BEFORE, REFUSED];

impl Picker {
    /// The machine in the place of one that does not exist or is lost; all who ask at
    /// the same time get the same one.
    pub(in crate::coordinator) async fn replacement(
        self: &Arc<Self>,
        id: &MachineId,
    ) -> Result<MachineId, Error> {
        let joined = self.replacements.join(id, || {
            let (picker, id) = (Arc::clone(self), id.clone());
            async move { picker.find_or_replace(id).await }
        });
        let panicked = || Error::Internal(format!("the replacement of machine {id} panicked"));
        joined.await.ok_or_else(panicked)?
    }

    async fn find_or_replace(&self, asked: MachineId) -> Result<MachineId, Error> {
        let deadline = Instant::now() + self.timeout;
        let mut id = asked.clone();
        for _ in 0..MAX_LOST {
            let machine = self.existing(&id, deadline).await?;
            let next = self.successor(&id, machine.as_ref(), deadline).await?;
            let Some(next) = next else {
                let unknown = || Error::NotFound(format!("machine {id}"));
                let lost = machine.ok_or_else(unknown)?;
                if id != asked && lost.config.image.is_empty() && !lost.was_retired() {
                    return Err(not_replaced(asked, &lost));
                }
                return self.replace_in_turn(&lost, deadline).await;
            };
            if !next.state.is_gone() {
                return Ok(next.id);
            }
            id = next.id;
        }
        Err(Error::Gone {
            machine: id,
            reason: format!(
                "so are {MAX_LOST} machines before it, each in the place of the last; see its logs"
            ),
        })
    }

    async fn existing(&self, id: &MachineId, deadline: Instant) -> Result<Option<Machine>, Error> {
        match self.client.get(id, deadline).await {
            Ok(machine) => Ok(Some(machine)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The machine that was made in the place of this one.
    async fn successor(
        &self,
        id: &MachineId,
        machine: Option<&Machine>,
        deadline: Instant,
    ) -> Result<Option<Machine>, Error> {
        if let Some(next) = machine.and_then(|machine| value(machine, REPLACED_BY))
            && let Ok(next) = next.parse()
            && let Some(next) = self.existing(&next, deadline).await?
        {
            return Ok(Some(next));
        }
        let filter = Filter {
            metadata: BTreeMap::from([(REPLACES.to_owned(), id.to_string())]),
        };
        let found = self.client.list(&filter, deadline).await?;
        Ok(found.into_iter().min_by_key(|next| next.state.prospect()))
    }

    /// Replaces a lost machine while no coordinator chooses one for its task.
    async fn replace_in_turn(&self, lost: &Machine, deadline: Instant) -> Result<MachineId, Error> {
        refuse_others(lost)?;
        let work = async |_: Option<Lease>| {
            let (Some(key), Some(task)) = (value(lost, KEY), value(lost, TASK)) else {
                return self.replace(lost, deadline).await;
            };
            let machines = self.working_on(key, deadline).await?;
            match assigned(&machines, task).filter(|machine| !machine.state.is_gone()) {
                Some(machine) => Ok(machine.id.clone()),
                None => self.replace(lost, deadline).await,
            }
        };
        match self.template(deadline).await {
            Ok(template) => {
                let leased = |lease| work(Some(lease));
                self.in_turn(&template.id, deadline, leased).await
            }
            // Nobody chooses machines without one; the name alone decides.
            Err(Error::NotFound(_)) => work(None).await,
            Err(error) => Err(error),
        }
    }

    /// Makes the machine in the place of a lost one, or finds the one that another
    /// coordinator has made, by its name.
    pub(super) async fn replace(
        &self,
        lost: &Machine,
        deadline: Instant,
    ) -> Result<MachineId, Error> {
        refuse_others(lost)?;
        let mut config = inherited(lost);
        match self.template(deadline).await {
            // What new machines get: the old image may be why this one is lost.
            Ok(template) => config.image = template.config.image,
            Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let create = |nth: u32| Create {
            name: match nth {
                0 => format!("re-{}", lost.id),
                nth => format!("re-{}-{nth}", lost.id),
            },
            region: lost.region.clone(),
            config: config.clone(),
            skip_launch: false,
            skip_service_registration: false,
        };
        let is_ours = |machine: &Machine| value(machine, REPLACES) == Some(lost.id.as_str());
        let new = self.create_or_find(create, MAX_NAMES, is_ours, deadline);
        let new = new.await?;
        warn!(machine = %lost.id, state = %lost.state, replacement = %new, "the platform has lost a machine: it is replaced");
        self.mark_replaced(lost, &new, deadline).await;
        Ok(new)
    }

    async fn mark_replaced(&self, lost: &Machine, new: &MachineId, deadline: Instant) {
        let mark = (REPLACED_BY, new.as_str());
        let marked = self.client.set_metadata(&lost.id, mark, None, deadline);
        if let Err(error) = marked.await {
            // A destroyed machine has no metadata; the new one's are looked for then.
            info!(machine = %lost.id, %error, "cannot mark a lost machine");
        }
    }
}

/// Refuses a machine that is not ours to replace, or not any more.
fn refuse_others(lost: &Machine) -> Result<(), Error> {
    let machine = lost.id.clone();
    if !lost.state.is_lost() && value(lost, REPLACED_BY).is_none() {
        return Err(Error::NotFound(format!("machine {machine}")));
    }
    if lost.was_retired() {
        let reason = "it was destroyed on request; ask for its repository, commit and task, and another one is made".to_owned();
        return Err(Error::Gone { machine, reason });
    }
    let before = value(lost, REPLACES).map(str::parse::<MachineId>);
    if let (Some(Ok(before)), Some(_)) = (before, value(lost, UNPROVEN)) {
        return Err(not_replaced(before, lost));
    }
    if lost.config.image.is_empty() {
        let reason = format!(
            "it is {}, and the platform no longer says what it was; ask for its repository, commit and task, and another one is made",
            lost.state
        );
        return Err(Error::Gone { machine, reason });
    }
    if lost.metadata(ROLE) != Some(AGENT) {
        let state = lost.state.clone();
        return Err(Error::Unstartable { machine, state });
    }
    Ok(())
}

fn not_replaced(lost: MachineId, replacement: &Machine) -> Error {
    Error::NotReplaced {
        lost,
        last: format!("it is {}", replacement.state),
        replacement: replacement.id.clone(),
    }
}

/// The configuration of the machine in the place of a lost one.
fn inherited(lost: &Machine) -> Config {
    let mut config = lost.config.clone();
    let own_name = || lost.id.to_string();
    let name = config.env.get(CHANGES_NAME).filter(|name| !name.is_empty());
    let name = name.cloned().unwrap_or_else(own_name);
    config.env.insert(CHANGES_NAME.to_owned(), name);
    for key in NOT_INHERITED {
        config.metadata.remove(key);
    }
    let marks = [(REPLACES, lost.id.as_str()), (UNPROVEN, "yes")];
    let marks = marks.map(|(key, value)| (key.to_owned(), value.to_owned()));
    config.metadata.extend(marks);
    config
}
