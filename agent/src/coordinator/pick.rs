//! Which machine gets to work on something: the one that does already, one
//! that is free and has the same in front of it, or a new one.
//!
//! A machine's metadata say what it works on (`key`) and for whom (`task`).
//! Without a task it is free. Who finds none that is his takes turns with all
//! other coordinators, by the lease of the template: else one could make a
//! machine for a task while another hands out one that has just become free.
//! Names are made of both, and the platform lets no two machines have one name:
//! so nobody makes a second one even when a lease is lost, or whoever dies.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync,
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

use super::{
    agents::Agents,
    flights::Flights,
    metadata::{AGENT, KEY, ROLE, TASK, said},
    wanted::Wanted,
};
use crate::fly::{Client, Create, Error, Filter, Lease, Machine, MachineId, Mode, State};

/// How long a free machine is waited for that somebody else has his hands on.
const CLAIM: Duration = Duration::from_secs(3);
/// So many names are tried when others have been given on.
const NAMES: u32 = 4;

/// Picks machines.
#[derive(Debug)]
pub(super) struct Picker {
    client: Client,
    template: String,
    patience: Duration,
    flights: Flights<String, Result<MachineId, Error>>,
    /// The template's id: its name is looked for only once.
    template_id: Mutex<Option<MachineId>>,
    /// Those of this coordinator queue here, not at the API.
    turn: sync::Mutex<()>,
}

impl Picker {
    pub(super) fn new(client: Client, template: String, patience: Duration) -> Self {
        Self {
            client,
            template,
            patience,
            flights: Flights::default(),
            template_id: Mutex::default(),
            turn: sync::Mutex::default(),
        }
    }

    /// The machine for this; all who ask at once get the same.
    pub(super) async fn pick(
        self: &Arc<Self>,
        agents: &Arc<Agents>,
        wanted: &Wanted,
    ) -> Result<MachineId, Error> {
        let name = wanted.name(0);
        let joined = self.flights.join(&name, || {
            let (picker, wanted) = (Arc::clone(self), wanted.clone());
            let agents = Arc::clone(agents);
            async move { picker.choose(&agents, &wanted).await }
        });
        joined.await.unwrap_or_else(|| {
            let told = "the coordinator has failed: see its log".to_owned();
            Err(Error::Invalid(told))
        })
    }

    async fn choose(&self, agents: &Agents, wanted: &Wanted) -> Result<MachineId, Error> {
        let deadline = Instant::now() + self.patience;
        if let Some(machine) = own(&self.alike(wanted, deadline).await?, wanted) {
            return Ok(machine.id.clone());
        }
        let Ok(_turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Err(Error::Late {
                doing: format!("the choice of a machine for {}", wanted.task),
                last: "others are before it".to_owned(),
            });
        };
        let template = self.template(deadline).await?.id;
        let work = |_| self.choose_alone(agents, wanted, deadline);
        self.client.leased(&template, deadline, work).await
    }

    /// By the one coordinator whose turn it is: what it sees stays so.
    async fn choose_alone(
        &self,
        agents: &Agents,
        wanted: &Wanted,
        deadline: Instant,
    ) -> Result<MachineId, Error> {
        let machines = self.alike(wanted, deadline).await?;
        if let Some(machine) = own(&machines, wanted) {
            return Ok(machine.id.clone());
        }
        for machine in machines.iter().filter(|machine| is_free(machine)) {
            match self.claim(agents, machine, wanted, deadline).await {
                Ok(true) => return Ok(machine.id.clone()),
                Ok(false) => {}
                Err(error) => warn!(machine = %machine.id, %error, "it cannot be claimed"),
            }
        }
        self.make(wanted, deadline).await
    }

    /// Those that have the same in front of them, the warmest first.
    async fn alike(&self, wanted: &Wanted, deadline: Instant) -> Result<Vec<Machine>, Error> {
        let metadata = [(ROLE, AGENT.to_owned()), (KEY, wanted.key())];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        let filter = Filter {
            metadata: BTreeMap::from(metadata),
        };
        let mut machines = self.client.list(&filter, deadline).await?;
        machines.retain(|machine| warmth(machine.state).is_some());
        machines.sort_by_key(|machine| (warmth(machine.state), machine.id.clone()));
        Ok(machines)
    }

    /// Makes a free machine ours, unless somebody was faster.
    async fn claim(
        &self,
        agents: &Agents,
        machine: &Machine,
        wanted: &Wanted,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let deadline = deadline.min(Instant::now() + CLAIM);
        let work = |lease: Lease| async move {
            let now = self.client.get(&machine.id, deadline).await?;
            if said(&now, TASK) == Some(&wanted.task) {
                // The list was older than that.
                return Ok(true);
            }
            if !is_free(&now) || !is_unused(agents, &now).await {
                return Ok(false);
            }
            let task = (TASK, wanted.task.as_str());
            let nonce = Some(lease.nonce());
            self.client
                .set_metadata(&machine.id, task, nonce, deadline)
                .await?;
            info!(machine = %machine.id, task = wanted.task, "a free machine is handed out");
            Ok(true)
        };
        self.client.leased(&machine.id, deadline, work).await
    }

    async fn make(&self, wanted: &Wanted, deadline: Instant) -> Result<MachineId, Error> {
        let mut config = self.template(deadline).await?.config;
        wanted.write(&mut config);
        for nth in 0..NAMES {
            let create = Create {
                name: wanted.name(nth),
                region: wanted.region.clone(),
                config: config.clone(),
                skip_launch: false,
                skip_service_registration: false,
            };
            match self.client.create(&create, deadline).await {
                Ok(machine) => {
                    info!(machine = %machine.id, name = create.name, "made");
                    return Ok(machine.id);
                }
                Err(Error::NameTaken(name)) => {
                    // By another coordinator, or by us before we were killed:
                    // it is ours, unless it was given on since.
                    if let Some(machine) = self.named(&name, deadline).await?
                        && machine.metadata(TASK) == Some(&wanted.task)
                    {
                        return Ok(machine.id);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NameTaken(wanted.name(NAMES - 1)))
    }

    async fn named(&self, name: &str, deadline: Instant) -> Result<Option<Machine>, Error> {
        let machines = self.client.list(&Filter::default(), deadline).await?;
        Ok(machines.into_iter().find(|machine| machine.name == name))
    }

    /// The machine that new ones are made like.
    pub(super) async fn template(&self, deadline: Instant) -> Result<Machine, Error> {
        let known = self.known_template();
        if let Some(id) = known {
            match self.client.get(&id, deadline).await {
                Ok(machine) if warmth(machine.state).is_some() => return Ok(machine),
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let named = self.named(&self.template, deadline).await?;
        let mut known = self.template_id.lock().expect("nothing panics with it");
        *known = named.as_ref().map(|machine| machine.id.clone());
        named.ok_or_else(|| {
            Error::NotFound(format!(
                "machine {} to make others like: agent machines create {} --stopped --config FILE",
                self.template, self.template
            ))
        })
    }

    fn known_template(&self) -> Option<MachineId> {
        let known = self.template_id.lock().expect("nothing panics with it");
        known.clone()
    }

    /// The same, if it is one of these.
    pub(super) fn template_among<'a>(&self, machines: &'a [Machine]) -> Option<&'a Machine> {
        machines
            .iter()
            .find(|machine| machine.name == self.template)
    }

    /// Gives a machine back, for whoever comes next with the same in mind.
    /// One that could write is stopped, so that it begins anew.
    pub(super) async fn release(
        &self,
        agents: &Agents,
        id: &MachineId,
        deadline: Instant,
    ) -> Result<Machine, Error> {
        let client = &self.client;
        let work = |lease: Lease| async move {
            let nonce = Some(lease.nonce());
            let machine = client.get(id, deadline).await?;
            if machine.metadata("mode") == Some(Mode::ReadOnly.as_str())
                && machine.state == State::Started
            {
                let place = agents.place(&machine)?;
                let ended = agents.end_run(&place).await;
                ended.map_err(|last| Error::NotReady {
                    machine: id.clone(),
                    last,
                })?;
            } else {
                crate::fly::stop(client, id, nonce, deadline).await?;
            }
            client.set_metadata(id, (TASK, ""), nonce, deadline).await?;
            client.get(id, deadline).await
        };
        client.leased(id, deadline, work).await
    }
}

/// The one that works for this task already.
fn own<'a>(machines: &'a [Machine], wanted: &Wanted) -> Option<&'a Machine> {
    machines
        .iter()
        .find(|machine| said(machine, TASK) == Some(&wanted.task))
}

fn is_free(machine: &Machine) -> bool {
    said(machine, TASK).is_none()
}

/// Whether nobody works there although it is nobody's.
async fn is_unused(agents: &Agents, machine: &Machine) -> bool {
    if machine.state != State::Started {
        return true;
    }
    let Ok(place) = agents.place(machine) else {
        return false;
    };
    agents
        .status(&place)
        .await
        .is_ok_and(|status| status.is_free())
}

/// The less, the sooner it is ready; none if never.
fn warmth(state: State) -> Option<u8> {
    Some(match state {
        State::Started => 0,
        State::Starting | State::Restarting | State::Creating => 1,
        State::Suspended => 2,
        State::Stopped | State::Suspending => 3,
        State::Created | State::Stopping | State::Updating => 4,
        _ => return None,
    })
}
