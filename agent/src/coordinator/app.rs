//! The state that all routes share.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio::time::Instant;

use super::{
    agents::Agents, options::Options, picker::Picker, promote::Promoter, roll::Roller, waker::Waker,
};
use crate::fly::Client;

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
        let agents = Agents::new(options.tokens.clone(), options.agent_port)?;
        let agents = Arc::new(agents);
        let waker = Waker::new(client.clone(), Arc::clone(&agents), request_timeout);
        let waker = Arc::new(waker);
        let template = options.template.clone();
        let picker = Picker::new(
            client.clone(),
            Arc::clone(&agents),
            template,
            request_timeout,
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

    /// The deadline of a request that has just arrived.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }
}
