//! Which machine gets to work on something: the one that does already, one
//! that is free and has the same in front of it, or a new one.
//!
//! A machine's metadata say what it works on (`key`) and for whom (`task`).
//! Without a task it is free. Names are made of both, and the platform lets no
//! two machines have one name: so nobody makes a second one, whoever dies.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{agents::Agents, flights::Flights};
use crate::machines::{
    Client, Config, Create, Error, Filter, Lease, Machine, MachineId, Mode, State,
};

/// How long a free machine is waited for that somebody else has his hands on.
const CLAIM: Duration = Duration::from_secs(3);
/// So many names are tried when others have been given on.
const NAMES: u32 = 4;
/// The metadata that say what a machine is for.
pub(super) const ROLE: &str = "role";
/// An agent's.
pub(super) const AGENT: &str = "agent";
const KEY: &str = "key";
const TASK: &str = "task";

/// What an agent is to work on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// As blockd names it.
    pub(super) repository: String,
    /// A whole object id: a name would move.
    pub(super) commit: String,
    /// Whether it may write.
    #[serde(default = "read_write")]
    pub(super) mode: Mode,
    /// Whose it is: one task has one machine, and all who name none share one.
    #[serde(default = "shared")]
    pub(super) task: String,
    /// Where, for a new one.
    #[serde(default)]
    pub(super) region: Option<String>,
}

fn read_write() -> Mode {
    Mode::ReadWrite
}

fn shared() -> String {
    "shared".to_owned()
}

impl Wanted {
    /// Whether it makes sense.
    pub(super) fn check(&self) -> Result<(), Error> {
        let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
        if !matches!(self.repository.len(), 1..=200) || !self.repository.bytes().all(is_path) {
            let told = format!("{:?} is no repository", self.repository);
            return Err(Error::Invalid(told));
        }
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !matches!(self.commit.len(), 40 | 64) || !self.commit.bytes().all(is_hex) {
            let told = format!("{:?} is no object id: all of it, please", self.commit);
            return Err(Error::Invalid(told));
        }
        let is_visible = |byte: u8| byte.is_ascii_graphic();
        if !matches!(self.task.len(), 1..=100) || !self.task.bytes().all(is_visible) {
            let told = "a task has 1 to 100 visible ASCII characters".to_owned();
            return Err(Error::Invalid(told));
        }
        Ok(())
    }

    /// Of what it works on.
    fn key(&self) -> String {
        hash(&[&self.repository, &self.commit, self.mode.as_str()])
    }

    fn name(&self, nth: u32) -> String {
        let nth = nth.to_string();
        format!("ag-{}", hash(&[&self.key(), &self.task, &nth]))
    }

    fn write(&self, config: &mut Config) {
        for (name, value) in [("REPO", &self.repository), ("BASE", &self.commit)] {
            config.env.insert(name.into(), value.clone());
        }
        let metadata = [
            (ROLE, AGENT.to_owned()),
            (KEY, self.key()),
            (TASK, self.task.clone()),
            ("repository", self.repository.clone()),
            ("commit", self.commit.clone()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        config.metadata.extend(metadata);
        self.mode.set(config);
    }
}

fn hash(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0"));
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    format!("{:016x}", u64::from_be_bytes(first))
}

/// Picks machines.
#[derive(Debug)]
pub(super) struct Picker {
    client: Client,
    template: String,
    patience: Duration,
    flights: Flights<String, Result<MachineId, Error>>,
}

impl Picker {
    pub(super) fn new(client: Client, template: String, patience: Duration) -> Self {
        Self {
            client,
            template,
            patience,
            flights: Flights::default(),
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
        let metadata = [(ROLE, AGENT.to_owned()), (KEY, wanted.key())];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        let filter = Filter {
            metadata: BTreeMap::from(metadata),
        };
        let mut machines = self.client.list(&filter, deadline).await?;
        machines.retain(|machine| warmth(machine.state).is_some());
        machines.sort_by_key(|machine| (warmth(machine.state), machine.id.clone()));
        let own = machines
            .iter()
            .find(|machine| machine.metadata(TASK) == Some(&wanted.task));
        if let Some(machine) = own {
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
        let known = self.named(&self.template, deadline).await?;
        known.ok_or_else(|| {
            Error::NotFound(format!(
                "machine {} to make others like: agent machines create {} --stopped --config FILE",
                self.template, self.template
            ))
        })
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
                crate::machines::stop(client, id, nonce, deadline).await?;
            }
            client.set_metadata(id, (TASK, ""), nonce, deadline).await?;
            client.get(id, deadline).await
        };
        client.leased(id, deadline, work).await
    }
}

fn is_free(machine: &Machine) -> bool {
    machine.metadata(TASK).is_none_or(str::is_empty)
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
