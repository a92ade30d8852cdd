//! Picks the machine for a task: the one that works for it already, a free one
//! with the same work tree, or a new one.
//!
//! The metadata of a machine say what it works on (`key`) and for which task
//! (`task`); without a task it is free. A coordinator that finds no machine of the
//! task holds the lease of the template while it decides: otherwise it could
//! create a machine for a task while another coordinator assigns one that has just
//! become free. Names are derived from key and task, and the platform accepts a
//! name only once: no second machine is created even if a lease is lost, or a
//! coordinator killed.

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
    metadata::{AGENT, KEY, ROLE, TASK, value},
    single_flight::SingleFlight,
    spec::AgentSpec,
};
use crate::{
    fly::{self, Client, Create, Error, Filter, Lease, Machine, MachineId, State},
    mode::Mode,
};

/// How long to wait for the lease of a free machine.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(3);
/// How many names to try, where machines of a name work for another task by now.
const MAX_NAMES: u32 = 4;

/// Picks machines.
#[derive(Debug)]
pub(super) struct Picker {
    client: Client,
    agents: Arc<Agents>,
    /// The name of the template.
    template: String,
    timeout: Duration,
    single_flight: SingleFlight<String, Result<MachineId, Error>>,
    /// The id of the template, once its name was found.
    template_id: Mutex<Option<MachineId>>,
    /// Requests of this coordinator queue here for the template's lease, not at the API.
    turn: sync::Mutex<()>,
}

impl Picker {
    /// A picker that takes at most `timeout` for a choice.
    pub(super) fn new(
        client: Client,
        agents: Arc<Agents>,
        template: String,
        timeout: Duration,
    ) -> Self {
        Self {
            client,
            agents,
            template,
            timeout,
            single_flight: SingleFlight::default(),
            template_id: Mutex::default(),
            turn: sync::Mutex::default(),
        }
    }

    /// The machine for this spec; all who ask at the same time get the same one.
    pub(super) async fn pick(self: &Arc<Self>, spec: &AgentSpec) -> Result<MachineId, Error> {
        let name = spec.name(0);
        let joined = self.single_flight.join(&name, || {
            let (picker, spec) = (Arc::clone(self), spec.clone());
            async move { picker.choose(&spec).await }
        });
        let panicked = || Error::Internal(format!("the choice of machine {name} panicked"));
        joined.await.ok_or_else(panicked)?
    }

    async fn choose(&self, spec: &AgentSpec) -> Result<MachineId, Error> {
        let deadline = Instant::now() + self.timeout;
        if let Some(machine) = assigned(&self.matching(spec, deadline).await?, spec) {
            return Ok(machine.id.clone());
        }
        let Ok(_turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Err(Error::TimedOut {
                operation: format!("the choice of a machine for {}", spec.task),
                last: "other requests are still being decided".to_owned(),
            });
        };
        let template = self.template(deadline).await?.id;
        let work = |_| self.choose_leased(spec, deadline);
        self.client.leased(&template, deadline, work).await
    }

    /// Chooses under the template's lease: no other coordinator does so meanwhile.
    async fn choose_leased(&self, spec: &AgentSpec, deadline: Instant) -> Result<MachineId, Error> {
        let machines = self.matching(spec, deadline).await?;
        if let Some(machine) = assigned(&machines, spec) {
            return Ok(machine.id.clone());
        }
        for machine in machines.iter().filter(|machine| is_free(machine)) {
            match self.claim(machine, spec, deadline).await {
                Ok(true) => return Ok(machine.id.clone()),
                Ok(false) => {}
                Err(error) => warn!(machine = %machine.id, %error, "cannot claim a free machine"),
            }
        }
        self.create(spec, deadline).await
    }

    /// The machines that work on the same, those first that will be ready first.
    async fn matching(&self, spec: &AgentSpec, deadline: Instant) -> Result<Vec<Machine>, Error> {
        let metadata = [(ROLE, AGENT.to_owned()), (KEY, spec.key())];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        let filter = Filter {
            metadata: BTreeMap::from(metadata),
        };
        let mut machines = self.client.list(&filter, deadline).await?;
        machines.retain(|machine| start_order(machine.state).is_some());
        machines.sort_by_key(|machine| (start_order(machine.state), machine.id.clone()));
        Ok(machines)
    }

    /// Assigns a free machine to the task; false if it is no longer free.
    async fn claim(
        &self,
        machine: &Machine,
        spec: &AgentSpec,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let deadline = deadline.min(Instant::now() + CLAIM_TIMEOUT);
        let work = |lease: Lease| async move {
            let now = self.client.get(&machine.id, deadline).await?;
            if value(&now, TASK) == Some(&spec.task) {
                // Assigned since the list was made.
                return Ok(true);
            }
            if !is_free(&now) || !self.is_unused(&now).await {
                return Ok(false);
            }
            let task = (TASK, spec.task.as_str());
            let nonce = Some(lease.nonce());
            self.client
                .set_metadata(&machine.id, task, nonce, deadline)
                .await?;
            info!(machine = %machine.id, task = spec.task, "a free machine was assigned");
            Ok(true)
        };
        self.client.leased(&machine.id, deadline, work).await
    }

    async fn create(&self, spec: &AgentSpec, deadline: Instant) -> Result<MachineId, Error> {
        let mut config = self.template(deadline).await?.config;
        spec.apply(&mut config);
        for nth in 0..MAX_NAMES {
            let create = Create {
                name: spec.name(nth),
                region: spec.region.clone(),
                config: config.clone(),
                skip_launch: false,
                skip_service_registration: false,
            };
            match self.client.create(&create, deadline).await {
                Ok(machine) => {
                    info!(machine = %machine.id, name = create.name, "created");
                    return Ok(machine.id);
                }
                Err(Error::NameTaken(name)) => {
                    // Created by another coordinator, or by one that was killed; it
                    // may have been assigned to another task since.
                    if let Some(machine) = self.named(&name, deadline).await?
                        && machine.metadata(TASK) == Some(&spec.task)
                    {
                        return Ok(machine.id);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::NameTaken(spec.name(MAX_NAMES - 1)))
    }

    async fn named(&self, name: &str, deadline: Instant) -> Result<Option<Machine>, Error> {
        let machines = self.client.list(&Filter::default(), deadline).await?;
        Ok(machines.into_iter().find(|machine| machine.name == name))
    }

    /// The template: the machine whose configuration new ones get.
    pub(super) async fn template(&self, deadline: Instant) -> Result<Machine, Error> {
        if let Some(id) = self.known_template() {
            match self.client.get(&id, deadline).await {
                Ok(machine) if start_order(machine.state).is_some() => return Ok(machine),
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let named = self.named(&self.template, deadline).await?;
        let id = named.as_ref().map(|machine| machine.id.clone());
        *self
            .template_id
            .lock()
            .expect("no holder of the lock panics") = id;
        named.ok_or_else(|| {
            Error::NotFound(format!(
                "template machine {}: create it with agent machines create {} --stopped --config FILE",
                self.template, self.template
            ))
        })
    }

    fn known_template(&self) -> Option<MachineId> {
        let known = self
            .template_id
            .lock()
            .expect("no holder of the lock panics");
        known.clone()
    }

    /// The template, if it is one of these machines.
    pub(super) fn template_among<'a>(&self, machines: &'a [Machine]) -> Option<&'a Machine> {
        machines
            .iter()
            .find(|machine| machine.name == self.template)
    }

    /// Makes a machine free for another task. A machine that takes changes is
    /// stopped, so that the next task begins with a clean work tree.
    pub(super) async fn release(
        &self,
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
                let agent = self.agents.address(&machine)?;
                let stopped = self.agents.stop_codex(&agent).await;
                stopped.map_err(|last| Error::NotReady {
                    machine: id.clone(),
                    last,
                })?;
            } else {
                fly::stop(client, id, nonce, deadline).await?;
            }
            client.set_metadata(id, (TASK, ""), nonce, deadline).await?;
            client.get(id, deadline).await
        };
        client.leased(id, deadline, work).await
    }

    /// Whether no one uses a machine that has no task.
    async fn is_unused(&self, machine: &Machine) -> bool {
        if machine.state != State::Started {
            return true;
        }
        // An agent that cannot be asked may be in use.
        let Ok(agent) = self.agents.address(machine) else {
            return false;
        };
        let status = self.agents.status(&agent).await;
        status.is_ok_and(|status| status.is_free())
    }
}

/// The machine that is assigned to the task.
fn assigned<'a>(machines: &'a [Machine], spec: &AgentSpec) -> Option<&'a Machine> {
    machines
        .iter()
        .find(|machine| value(machine, TASK) == Some(&spec.task))
}

fn is_free(machine: &Machine) -> bool {
    value(machine, TASK).is_none()
}

/// The order in which machines become ready; `None` for one that cannot be started.
fn start_order(state: State) -> Option<u8> {
    Some(match state {
        State::Started => 0,
        State::Starting | State::Restarting | State::Creating => 1,
        State::Suspended => 2,
        State::Stopped | State::Suspending => 3,
        State::Created | State::Stopping | State::Updating => 4,
        _ => return None,
    })
}
