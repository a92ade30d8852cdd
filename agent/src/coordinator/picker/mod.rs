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
//!
//! A machine of the task that the platform has lost is replaced (`replace`).

mod replace;

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
    metadata::{AGENT, CALLER, KEY, MADE_BY, REPLACED_BY, ROLE, TASK, value},
    single_flight::SingleFlight,
    spec::{AgentSpec, Asker, CHANGES_NAME},
};
use crate::fly::{self, Client, Config, Create, Error, Filter, Lease, Machine, MachineId, State};

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
    /// How many machines callers may have.
    max_made: usize,
    single_flight: SingleFlight<String, Result<MachineId, Error>>,
    /// The replacements in progress, by the lost machine.
    replacements: SingleFlight<MachineId, Result<MachineId, Error>>,
    /// The id of the template, once its name was found.
    template_id: Mutex<Option<MachineId>>,
    /// Requests of this coordinator queue here for the template's lease, not at the API.
    turn: sync::Mutex<()>,
}

impl Picker {
    /// A picker that takes at most `timeout` for a choice, and makes at most `max_made`
    /// machines for callers.
    pub(super) fn new(
        client: Client,
        agents: Arc<Agents>,
        template: String,
        (timeout, max_made): (Duration, usize),
    ) -> Self {
        Self {
            max_made,
            client,
            agents,
            template,
            timeout,
            single_flight: SingleFlight::default(),
            replacements: SingleFlight::default(),
            template_id: Mutex::default(),
            turn: sync::Mutex::default(),
        }
    }

    /// The machine for this spec; all who ask at the same time get the same one.
    pub(super) async fn pick(self: &Arc<Self>, spec: &AgentSpec) -> Result<MachineId, Error> {
        // A request that makes no machine does not decide for one that does.
        let name = format!("{} {:?}", spec.name(0), spec.asker);
        let joined = self.single_flight.join(&name, || {
            let (picker, spec) = (Arc::clone(self), spec.clone());
            async move { picker.choose(&spec).await }
        });
        let panicked = || Error::Internal(format!("the choice of machine {name} panicked"));
        joined.await.ok_or_else(panicked)?
    }

    async fn choose(&self, spec: &AgentSpec) -> Result<MachineId, Error> {
        let deadline = Instant::now() + self.timeout;
        let machines = self.working_on(&spec.key(), deadline).await?;
        if let Some(machine) = assigned(&machines, &spec.task)
            && !machine.state.is_gone()
        {
            return Ok(machine.id.clone());
        }
        if spec.asker == Asker::Reader {
            return Err(Error::NotFound(format!(
                "machine for task {}: POST /mcp with the same query, or POST /machines, makes one",
                spec.task
            )));
        }
        let template = self.template(deadline).await?.id;
        let work = |_| self.choose_leased(spec, deadline);
        self.in_turn(&template, deadline, work).await
    }

    /// Runs `work` under the template's lease: no other coordinator chooses or
    /// replaces machines meanwhile.
    async fn in_turn<F>(
        &self,
        template: &MachineId,
        deadline: Instant,
        work: impl FnOnce(Lease) -> F,
    ) -> Result<MachineId, Error>
    where
        F: Future<Output = Result<MachineId, Error>>,
    {
        let Ok(_turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Err(Error::TimedOut {
                operation: "the choice of a machine".to_owned(),
                last: "other requests are still being decided".to_owned(),
            });
        };
        self.client.leased(template, deadline, work).await
    }

    async fn choose_leased(&self, spec: &AgentSpec, deadline: Instant) -> Result<MachineId, Error> {
        let machines = self.working_on(&spec.key(), deadline).await?;
        match assigned(&machines, &spec.task) {
            Some(lost) if lost.state.is_gone() => return self.replace(lost, deadline).await,
            Some(machine) => return Ok(machine.id.clone()),
            None => {}
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

    /// The machines with this key, those first that will be ready first, and those
    /// that are gone last. One in whose place there is another is not among them.
    async fn working_on(&self, key: &str, deadline: Instant) -> Result<Vec<Machine>, Error> {
        let metadata = [(ROLE, AGENT), (KEY, key)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let filter = Filter {
            metadata: BTreeMap::from(metadata),
        };
        let mut machines = self.client.list(&filter, deadline).await?;
        machines.retain(|machine| value(machine, REPLACED_BY).is_none());
        machines.sort_by_key(|machine| (machine.state.prospect(), machine.id.clone()));
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
            if !self.assign(&now, spec, &lease, deadline).await? {
                return Ok(false);
            }
            info!(machine = %machine.id, task = spec.task, "a free machine was assigned");
            Ok(true)
        };
        self.client.leased(&machine.id, deadline, work).await
    }

    /// Assigns a free machine to the task under its lease; false if it cannot be.
    async fn assign(
        &self,
        free: &Machine,
        spec: &AgentSpec,
        lease: &Lease,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let (id, nonce) = (&free.id, lease.nonce());
        if free.state == State::Started {
            // It has the home and the memory of its last task.
            fly::stop(&self.client, id, Some(nonce), deadline).await?;
        }
        // With the name of the task, which `agent boot` alone reads.
        let edit = |config: &mut Config| spec.assign(config);
        let assigned = fly::change_held(&self.client, id, edit, nonce, deadline).await?;
        Ok(value(&assigned, TASK) == Some(&spec.task))
    }

    /// Refuses to make one more machine for callers than there may be.
    async fn refuse_too_many(&self, deadline: Instant) -> Result<(), Error> {
        let metadata = [(ROLE, AGENT), (MADE_BY, CALLER)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let filter = Filter {
            metadata: BTreeMap::from(metadata),
        };
        let mut machines = self.client.list(&filter, deadline).await?;
        machines.retain(|machine| !machine.state.is_gone());
        if machines.len() < self.max_made {
            return Ok(());
        }
        Err(Error::TooMany(self.max_made))
    }

    async fn create(&self, spec: &AgentSpec, deadline: Instant) -> Result<MachineId, Error> {
        if spec.asker == Asker::Caller {
            self.refuse_too_many(deadline).await?;
        }
        let mut config = self.template(deadline).await?.config;
        spec.apply(&mut config);
        let create = |nth| Create {
            name: spec.name(nth),
            region: spec.region.clone(),
            config: config.clone(),
            skip_launch: false,
            skip_service_registration: false,
        };
        let is_ours = |machine: &Machine| {
            !machine.state.is_gone() && machine.metadata(TASK) == Some(&spec.task)
        };
        self.create_or_find(create, MAX_NAMES, is_ours, deadline)
            .await
    }

    /// Creates a machine under the first of its names that is free, or finds one of
    /// these names that is ours: created by another coordinator, or by one that was
    /// killed.
    async fn create_or_find(
        &self,
        create: impl Fn(u32) -> Create,
        names: u32,
        is_ours: impl Fn(&Machine) -> bool,
        deadline: Instant,
    ) -> Result<MachineId, Error> {
        let mut taken = Error::Internal("a machine has no name".to_owned());
        for nth in 0..names {
            match self.client.create(&create(nth), deadline).await {
                Ok(machine) => {
                    info!(machine = %machine.id, name = machine.name, "created");
                    return Ok(machine.id);
                }
                Err(Error::NameTaken(name)) => {
                    if let Some(machine) = self.named(&name, deadline).await?
                        && is_ours(&machine)
                    {
                        return Ok(machine.id);
                    }
                    taken = Error::NameTaken(name);
                }
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    async fn named(&self, name: &str, deadline: Instant) -> Result<Option<Machine>, Error> {
        let machines = self.client.list(&Filter::default(), deadline).await?;
        Ok(machines.into_iter().find(|machine| machine.name == name))
    }

    /// The template: the machine whose configuration new ones get.
    pub(super) async fn template(&self, deadline: Instant) -> Result<Machine, Error> {
        if let Some(id) = self.known_template() {
            match self.client.get(&id, deadline).await {
                Ok(machine) if !machine.state.is_gone() => return Ok(machine),
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

    /// Makes a machine free for another task. It is stopped: the next task begins with
    /// a clean work tree, and a home, logs and processes of its own.
    pub(super) async fn release(
        &self,
        id: &MachineId,
        deadline: Instant,
    ) -> Result<Machine, Error> {
        let client = &self.client;
        let work = |lease: Lease| async move {
            let nonce = Some(lease.nonce());
            fly::stop(client, id, nonce, deadline).await?;
            let edit = |config: &mut Config| {
                config.metadata.insert(TASK.to_owned(), String::new());
                config.env.remove(CHANGES_NAME);
            };
            fly::change_held(client, id, edit, lease.nonce(), deadline).await
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

/// The machine that is assigned to the task, the best one first.
fn assigned<'a>(machines: &'a [Machine], task: &str) -> Option<&'a Machine> {
    machines
        .iter()
        .find(|machine| value(machine, TASK) == Some(task))
}

/// Whether the machine may be assigned to a task.
fn is_free(machine: &Machine) -> bool {
    !machine.state.is_gone() && value(machine, TASK).is_none()
}
