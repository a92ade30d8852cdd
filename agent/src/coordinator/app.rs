//! The state that all routes share.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::time::Instant;

use super::{
    agents::{AgentAddress, Agents},
    options::Options,
    picker::Picker,
    promote::Promoter,
    roll::Roller,
    spec::AgentSpec,
    waker::Waker,
};
use crate::fly::{Client, Error, MachineId};

/// The parts of a coordinator.
#[derive(Debug)]
pub(super) struct App {
    pub(super) client: Client,
    pub(super) agents: Arc<Agents>,
    pub(super) waker: Arc<Waker>,
    pub(super) picker: Arc<Picker>,
    pub(super) promoter: Arc<Promoter>,
    pub(super) roller: Roller,
    request_timeout: Duration,
}

impl App {
    pub(super) fn new(options: &Options) -> Result<Arc<Self>> {
        let client = options.agents.clone();
        let request_timeout = options.request_timeout;
        let agents = Agents::new(options.grant_key.clone(), options.agent_port)?;
        let agents = Arc::new(agents);
        let waker = Waker::new(client.clone(), Arc::clone(&agents), request_timeout);
        let waker = Arc::new(waker);
        let template = options.template.clone();
        let picker = Picker::new(
            client.clone(),
            Arc::clone(&agents),
            template,
            (request_timeout, options.max_machines),
        );
        let picker = Arc::new(picker);
        let promoter = Promoter::new(options, Arc::clone(&agents), Arc::clone(&picker))?;
        let roller = Roller {
            client: client.clone(),
            agents: Arc::clone(&agents),
            waker: Arc::clone(&waker),
            policy: options.roll,
            request_timeout,
        };
        Ok(Arc::new(Self {
            client,
            agents,
            waker,
            picker,
            promoter: Arc::new(promoter),
            roller,
            request_timeout,
        }))
    }

    /// Makes sure that the agent of a machine is ready, or that of the machine in its
    /// place if the platform has lost it.
    pub(super) async fn ready(&self, id: &MachineId) -> Result<AgentAddress, Error> {
        match self.waker.ensure(id).await {
            Err(Error::Unstartable { .. } | Error::NotFound(_)) => {}
            outcome => return outcome,
        }
        let next = self.picker.replacement(id).await?;
        self.ready_instead(id, next).await
    }

    /// [`Self::ready`] for the machine of a task.
    pub(super) async fn ready_for(&self, spec: &AgentSpec) -> Result<AgentAddress, Error> {
        let id = self.picker.pick(spec).await?;
        match self.ready(&id).await {
            // The platform has destroyed it, and does not say what it was: we know.
            Err(Error::Gone { .. }) => {}
            outcome => return outcome,
        }
        let next = self.picker.pick(spec).await?;
        self.ready_instead(&id, next).await
    }

    /// Makes sure that the agent of a machine in the place of a lost one is ready.
    async fn ready_instead(
        &self,
        lost: &MachineId,
        next: MachineId,
    ) -> Result<AgentAddress, Error> {
        self.waker.ensure(&next).await.map_err(|error| match error {
            Error::Unstartable { .. } | Error::Died { .. } | Error::NotReady { .. } => {
                Error::NotReplaced {
                    lost: lost.clone(),
                    replacement: next,
                    last: error.to_string(),
                }
            }
            other => other,
        })
    }

    /// The deadline of a request that has just arrived.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }
}
