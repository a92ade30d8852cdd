//! `ensure`: a machine that runs and whose agent takes requests, whatever it
//! was before.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{
    agents::{Agents, Place},
    flights::Flights,
    roll::{came_up, is_marked, taken_back, waited_for},
};
use crate::fly::{Client, Error, Machine, MachineId, Starts, State, start_counted};

/// For so long it is believed that a machine that was ready is ready. It
/// spares the API a call for each request; a replay that fails asks anew.
const BELIEVED: Duration = Duration::from_secs(3);
/// How often an agent that comes up is asked whether it is ready.
const ASK: Duration = Duration::from_millis(150);
/// How often, meanwhile, it is looked whether its machine still runs.
const LOOK: Duration = Duration::from_secs(2);

/// Wakes machines.
#[derive(Debug)]
pub(super) struct Waker {
    client: Client,
    agents: Arc<Agents>,
    patience: Duration,
    flights: Flights<MachineId, Result<Place, Error>>,
    ready: Mutex<HashMap<MachineId, (Instant, Place)>>,
}

impl Waker {
    pub(super) fn new(client: Client, agents: Arc<Agents>, patience: Duration) -> Self {
        Self {
            client,
            agents,
            patience,
            flights: Flights::default(),
            ready: Mutex::default(),
        }
    }

    /// Wakes a machine unless it is awake; all who ask at once wait for one start.
    pub(super) async fn ensure(self: &Arc<Self>, id: &MachineId) -> Result<Place, Error> {
        if let Some(place) = self.believed(id) {
            return Ok(place);
        }
        let joined = self.flights.join(id, || {
            let (waker, id) = (Arc::clone(self), id.clone());
            async move { waker.wake(&id).await }
        });
        joined.await.unwrap_or_else(|| {
            Err(Error::NotReady {
                machine: id.clone(),
                last: "the coordinator has failed: see its log".to_owned(),
            })
        })
    }

    /// Believes no more that it is ready.
    pub(super) fn doubt(&self, id: &MachineId) {
        let mut ready = self.ready.lock().expect("nothing panics with it");
        ready.remove(id);
    }

    fn believed(&self, id: &MachineId) -> Option<Place> {
        let ready = self.ready.lock().expect("nothing panics with it");
        let (since, place) = ready.get(id)?;
        (since.elapsed() < BELIEVED).then(|| place.clone())
    }

    fn believe(&self, place: &Place) {
        let mut ready = self.ready.lock().expect("nothing panics with it");
        ready.retain(|_, (since, _)| since.elapsed() < BELIEVED);
        ready.insert(place.machine.clone(), (Instant::now(), place.clone()));
    }

    async fn wake(&self, id: &MachineId) -> Result<Place, Error> {
        let deadline = Instant::now() + self.patience;
        let error = match self.bring_up(id, deadline).await {
            Err(error @ (Error::Died { .. } | Error::NotReady { .. })) => error,
            outcome => return outcome,
        };
        // Perhaps it is the image that it was given last.
        let taken_back = taken_back(&self.client, id, Instant::now() + self.patience).await;
        match taken_back {
            Ok(true) if Instant::now() < deadline => self.bring_up(id, deadline).await,
            Ok(_) => Err(error),
            Err(other) => {
                warn!(machine = %id, error = %other, "the image before does not come back");
                Err(error)
            }
        }
    }

    async fn bring_up(&self, id: &MachineId, deadline: Instant) -> Result<Place, Error> {
        let mut starts = Starts::default();
        loop {
            let counted = (None, &mut starts);
            let machine = start_counted(&self.client, id, counted, deadline).await?;
            if is_marked(&machine) {
                waited_for(&self.client, id, deadline).await?;
                continue;
            }
            match self.wait_ready(&machine, deadline).await? {
                Ok(place) => {
                    came_up(&self.client, &machine, deadline).await;
                    self.believe(&place);
                    return Ok(place);
                }
                Err(ended) if starts.are_enough() => return Err(starts.died(id, ended)),
                Err(ended) => {
                    warn!(machine = %id, %ended, "it ended before its agent was ready");
                }
            }
        }
    }

    /// Waits until the agent is ready, or until the machine does not run any more.
    async fn wait_ready(
        &self,
        machine: &Machine,
        deadline: Instant,
    ) -> Result<Result<Place, State>, Error> {
        let place = self.agents.place(machine)?;
        let mut look = Instant::now() + LOOK;
        loop {
            let last = match self.agents.is_ready(&place).await {
                Ok(()) => return Ok(Ok(place)),
                Err(last) => last,
            };
            if Instant::now() >= deadline {
                let machine = machine.id.clone();
                return Err(Error::NotReady { machine, last });
            }
            sleep(ASK).await;
            if Instant::now() >= look {
                let now = self.client.get(&machine.id, deadline).await?;
                if now.state != State::Started {
                    return Ok(Err(now.state));
                }
                look = Instant::now() + LOOK;
            }
        }
    }
}
