//! Waking: whatever state a machine is in, it is started, and waited for until
//! its agent takes requests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{
    agents::{AgentAddress, Agents},
    image::{is_marked, prove, roll_back, wait_unmarked},
    metadata::{REPLACED_BY, value},
    single_flight::SingleFlight,
};
use crate::fly::{Client, Error, Machine, MachineId, Starts, State, start_counted};

/// For how long a machine that was ready is taken to be ready. It spares the API
/// a call for each request; a replay that fails invalidates the entry.
const READY_TTL: Duration = Duration::from_secs(3);
/// The pause between two requests to an agent that is not ready.
const READY_INTERVAL: Duration = Duration::from_millis(150);
/// How often, meanwhile, to check that the machine still runs.
const STATE_INTERVAL: Duration = Duration::from_secs(2);

type ReadyCache = HashMap<MachineId, (Instant, AgentAddress)>;

/// Wakes machines.
#[derive(Debug)]
pub(super) struct Waker {
    client: Client,
    agents: Arc<Agents>,
    timeout: Duration,
    single_flight: SingleFlight<MachineId, Result<AgentAddress, Error>>,
    ready: Mutex<ReadyCache>,
}

/// What became of a machine whose agent was waited for.
enum Outcome {
    Ready(AgentAddress),
    /// The machine left the state `started`.
    Ended(State),
}

impl Waker {
    /// A waker that waits at most `timeout` for a machine.
    pub(super) fn new(client: Client, agents: Arc<Agents>, timeout: Duration) -> Self {
        Self {
            client,
            agents,
            timeout,
            single_flight: SingleFlight::default(),
            ready: Mutex::default(),
        }
    }

    /// Makes sure that a machine runs and its agent is ready. All who ask at the
    /// same time wait for one start.
    pub(super) async fn ensure(self: &Arc<Self>, id: &MachineId) -> Result<AgentAddress, Error> {
        if let Some(agent) = self.cached_ready(id) {
            return Ok(agent);
        }
        let joined = self.single_flight.join(id, || {
            let (waker, id) = (Arc::clone(self), id.clone());
            async move { waker.wake(&id).await }
        });
        let panicked = || Error::Internal(format!("the start of machine {id} panicked"));
        joined.await.ok_or_else(panicked)?
    }

    /// Forgets that a machine was ready.
    pub(super) fn invalidate(&self, id: &MachineId) {
        self.ready().remove(id);
    }

    fn cached_ready(&self, id: &MachineId) -> Option<AgentAddress> {
        let ready = self.ready();
        let (since, agent) = ready.get(id)?;
        (since.elapsed() < READY_TTL).then(|| agent.clone())
    }

    fn cache_ready(&self, agent: &AgentAddress) {
        let mut ready = self.ready();
        ready.retain(|_, (since, _)| since.elapsed() < READY_TTL);
        ready.insert(agent.machine.clone(), (Instant::now(), agent.clone()));
    }

    fn ready(&self) -> MutexGuard<'_, ReadyCache> {
        self.ready.lock().expect("no holder of the lock panics")
    }

    async fn wake(&self, id: &MachineId) -> Result<AgentAddress, Error> {
        let deadline = Instant::now() + self.timeout;
        self.refuse_replaced(id, deadline).await?;
        let error = match self.start(id, deadline).await {
            Err(error @ (Error::Died { .. } | Error::NotReady { .. })) => error,
            outcome => return outcome,
        };
        // The cause may be the image that the machine was given last.
        match roll_back(&self.client, id, Instant::now() + self.timeout).await {
            Ok(true) if Instant::now() < deadline => self.start(id, deadline).await,
            Ok(_) => Err(error),
            Err(other) => {
                warn!(machine = %id, error = %other, "cannot roll back to the image before");
                Err(error)
            }
        }
    }

    /// Refuses a machine in whose place there is another, even if the platform has
    /// found it again: both would store their changes under one name.
    async fn refuse_replaced(&self, id: &MachineId, deadline: Instant) -> Result<(), Error> {
        let machine = self.client.get(id, deadline).await?;
        if value(&machine, REPLACED_BY).is_none() {
            return Ok(());
        }
        Err(Error::Unstartable {
            machine: machine.id,
            state: machine.state,
        })
    }

    async fn start(&self, id: &MachineId, deadline: Instant) -> Result<AgentAddress, Error> {
        let mut starts = Starts::default();
        loop {
            let machine = start_counted(&self.client, id, None, &mut starts, deadline).await?;
            if is_marked(&machine) {
                wait_unmarked(&self.client, id, deadline).await?;
                continue;
            }
            match self.wait_ready(&machine, deadline).await? {
                Outcome::Ready(agent) => {
                    prove(&self.client, &machine, deadline).await;
                    self.cache_ready(&agent);
                    return Ok(agent);
                }
                Outcome::Ended(state) if starts.are_exhausted() => {
                    return Err(starts.died(id, state));
                }
                Outcome::Ended(state) => {
                    warn!(machine = %id, %state, "the machine ended before its agent was ready");
                }
            }
        }
    }

    /// Waits until the agent is ready, or until the machine no longer runs.
    async fn wait_ready(&self, machine: &Machine, deadline: Instant) -> Result<Outcome, Error> {
        let agent = self.agents.address(machine)?;
        let mut next_check = Instant::now() + STATE_INTERVAL;
        loop {
            let last = match self.agents.check_ready(&agent).await {
                Ok(()) => return Ok(Outcome::Ready(agent)),
                Err(last) => last,
            };
            if Instant::now() >= deadline {
                let machine = machine.id.clone();
                return Err(Error::NotReady { machine, last });
            }
            sleep(READY_INTERVAL).await;
            if Instant::now() >= next_check {
                let now = self.client.get(&machine.id, deadline).await?;
                if now.state != State::Started {
                    return Ok(Outcome::Ended(now.state));
                }
                next_check = Instant::now() + STATE_INTERVAL;
            }
        }
    }
}
