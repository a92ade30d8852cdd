//! Requests to the agents themselves, past Fly's proxy.

use std::{net::SocketAddr, time::Duration};

use reqwest::{Client, Method, Response, StatusCode, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};

use super::spec::CHANGES_NAME;
use crate::{
    fly::{Error, Machine, MachineId, causes},
    token::{GrantKey, REPLAY_SOURCE},
};

/// How long a connection may take: a machine on the same network that takes
/// longer is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a small response may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that a small response may have.
const MAX_RESPONSE: usize = 1 << 16;

/// Where the agent of a running machine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentAddress {
    pub(super) machine: MachineId,
    pub(super) address: SocketAddr,
    /// The name of the task that it works for, empty without one.
    task: String,
}

/// What matters here of an agent's `/status`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct AgentStatus {
    /// The state of codex: `none`, `idle`, `working` and so on.
    state: String,
    /// For how long codex has been idle and nobody has watched; absent otherwise.
    #[serde(default)]
    idle_seconds: Option<u64>,
}

impl AgentStatus {
    /// Whether a stop would interrupt work.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state.as_str(), "starting" | "working" | "blocked")
    }

    /// For how long codex has been idle and nobody has watched.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.idle_seconds.map(Duration::from_secs)
    }

    /// Whether codex has been idle, and nobody has watched, for at least `time`.
    pub(super) fn rests(&self, time: Duration) -> bool {
        !self.is_busy() && self.idle().is_some_and(|idle| idle >= time)
    }

    /// Whether codex does not run.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.state.as_str(), "none" | "exited")
    }
}

/// The body of `/readyz`.
#[derive(Deserialize)]
struct Readiness {
    state: String,
}

/// A client of all agents.
#[derive(Debug)]
pub(super) struct Agents {
    http: Client,
    key: GrantKey,
    port: u16,
}

impl Agents {
    pub(super) fn new(key: GrantKey, port: u16) -> Result<Self, Error> {
        // No timeout for a whole response: /live is followed for hours. Keep-alives
        // find a peer that is gone.
        let http = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(15))
            .no_proxy()
            .build()
            .map_err(|error| Error::Invalid(causes(&error)))?;
        Ok(Self { http, key, port })
    }

    /// The address of a machine's agent.
    pub(super) fn address(&self, machine: &Machine) -> Result<AgentAddress, Error> {
        let ip = machine.private_ip.ok_or_else(|| Error::NotReady {
            machine: machine.id.clone(),
            last: "it has no address".to_owned(),
        })?;
        Ok(AgentAddress {
            machine: machine.id.clone(),
            address: SocketAddr::new(ip, self.port),
            task: machine
                .config
                .env
                .get(CHANGES_NAME)
                .cloned()
                .unwrap_or_default(),
        })
    }

    /// A grant to call this machine with, while it works for its task.
    pub(super) fn grant(&self, agent: &AgentAddress) -> String {
        self.key.grant(agent.machine.as_str(), &agent.task)
    }

    /// A request that the agent accepts as it accepts a replayed one.
    pub(super) fn request(
        &self,
        agent: &AgentAddress,
        method: Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", agent.address);
        let source = format!("instance=coordinator;state={}", self.grant(agent));
        self.http.request(method, url).header(REPLAY_SOURCE, source)
    }

    /// Checks that the agent takes requests; the error says why it does not.
    pub(super) async fn check_ready(&self, agent: &AgentAddress) -> Result<(), String> {
        let request = self.request(agent, Method::GET, "/readyz");
        let response = request.timeout(RESPONSE_TIMEOUT).send().await;
        let response = response.map_err(|error| causes(&error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::SERVICE_UNAVAILABLE => {
                let readiness: Readiness = small_json(response).await?;
                // What codex does while it starts or hangs is the agent's to report.
                match readiness.state.as_str() {
                    "starting" | "hung" => Ok(()),
                    state => Err(format!("its agent is not ready: {state}")),
                }
            }
            status => Err(format!("/readyz answered {status}")),
        }
    }

    pub(super) async fn status(&self, agent: &AgentAddress) -> Result<AgentStatus, String> {
        let request = self.request(agent, Method::GET, "/status");
        let response = request.timeout(RESPONSE_TIMEOUT).send().await;
        let response = response.and_then(Response::error_for_status);
        small_json(response.map_err(|error| causes(&error))?).await
    }
}

/// Decodes a response whose size is limited: codex runs beside the agent, and
/// may answer in its place.
async fn small_json<T: DeserializeOwned>(mut response: Response) -> Result<T, String> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| causes(&error))? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_RESPONSE {
            return Err(format!("its response is longer than {MAX_RESPONSE} bytes"));
        }
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| format!("its response cannot be decoded: {error}"))
}
