//! What a coordinator is made of.

use std::{net::SocketAddr, time::Duration};

use super::roll::RollPolicy;
use crate::{fly::Client, http_access::Access, token::GrantKey};

/// The options of `agent coordinator`.
#[derive(Debug)]
pub struct Options {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The app whose machines are agents.
    pub agents: Client,
    /// The app whose machines may promote their image.
    pub gate: Client,
    /// Who may call agents.
    pub callers: Access,
    /// Who may manage machines.
    pub managers: Access,
    /// The token of callers that was made for this server alone, to be shown once.
    pub made_token: Option<String>,
    /// The key that grants are signed with.
    pub grant_key: GrantKey,
    /// The port that agents listen on.
    pub agent_port: u16,
    /// How long a request may wait for a machine.
    pub request_timeout: Duration,
    /// The name of the machine, never started, whose configuration new agents get.
    pub template: String,
    /// How many machines requests with the callers' token may make.
    pub max_machines: usize,
    /// The time between two sweeps; `None` for no sweeps.
    pub sweep_interval: Option<Duration>,
    /// A sweep stops a machine whose agent has been idle for so long.
    pub idle_stop: Duration,
    /// When a running agent gets a new image.
    pub roll: RollPolicy,
    /// The URL of the issuer of identity tokens; without it no image is promoted.
    pub issuer: Option<String>,
}
