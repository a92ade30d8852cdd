//! The agents that run on the machines, spoken to directly.

use std::{net::SocketAddr, time::Duration};

use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    fly::{Error, Machine, MachineId, causes},
    token::{MachineTokens, REPLAY_SOURCE},
};

/// A machine in the same network that does not take a connection is not there.
const CONNECT: Duration = Duration::from_secs(5);
/// How long codex may take to end.
const ENDING: Duration = Duration::from_secs(30);
/// How long a small answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// And how long it may be.
const LONGEST_ANSWER: usize = 1 << 16;

/// A machine that runs, and where it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) machine: MachineId,
    pub(super) address: SocketAddr,
}

/// What an agent says of itself, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct AgentStatus {
    /// What codex does: `none`, `idle`, `working` and so on.
    pub(super) state: String,
    /// For how long nothing has worked and nobody has watched.
    #[serde(default)]
    pub(super) idle_seconds: Option<u64>,
}

impl AgentStatus {
    /// Whether a run would be cut.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state.as_str(), "starting" | "working" | "blocked")
    }

    /// Whether nothing has worked and nobody has watched for so long.
    pub(super) fn rests(&self, time: Duration) -> bool {
        !self.is_busy() && self.idle_seconds >= Some(time.as_secs())
    }

    /// Whether codex is not even there.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.state.as_str(), "none" | "exited")
    }
}

/// How agents are called.
#[derive(Debug)]
pub(super) struct Agents {
    http: Client,
    tokens: MachineTokens,
    port: u16,
}

impl Agents {
    pub(super) fn new(tokens: MachineTokens, port: u16) -> Result<Self, Error> {
        // No deadline for all of an answer: /live follows for hours. A peer
        // that is gone is found by keep-alives.
        let http = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .tcp_keepalive(Duration::from_secs(15))
            .no_proxy()
            .build()
            .map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Self { http, tokens, port })
    }

    /// Where a machine's agent is.
    pub(super) fn place(&self, machine: &Machine) -> Result<Place, Error> {
        let ip = machine.private_ip.ok_or_else(|| Error::NotReady {
            machine: machine.id.clone(),
            last: "it has no address".to_owned(),
        })?;
        Ok(Place {
            machine: machine.id.clone(),
            address: SocketAddr::new(ip, self.port),
        })
    }

    /// A token to call this machine.
    pub(super) fn token(&self, machine: &MachineId) -> String {
        self.tokens.issue(machine.as_str())
    }

    /// A request that the agent takes as it takes a replayed one.
    pub(super) fn request(
        &self,
        place: &Place,
        method: reqwest::Method,
        path: &str,
    ) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", place.address);
        let source = format!("instance=coordinator;state={}", self.token(&place.machine));
        self.http.request(method, url).header(REPLAY_SOURCE, source)
    }

    /// Whether it takes requests; if not, what was heard.
    pub(super) async fn is_ready(&self, place: &Place) -> Result<(), String> {
        let request = self.request(place, reqwest::Method::GET, "/readyz");
        let answer = request.timeout(ANSWER).send().await;
        let answer = answer.map_err(|error| causes(&error))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::SERVICE_UNAVAILABLE => {
                let read: Value = small(answer).await.unwrap_or_default();
                // A codex that starts or hangs is the agent's to speak of; an
                // agent that ends is to be let go.
                match read["state"].as_str() {
                    Some("starting" | "hung") => Ok(()),
                    _ => Err("it is about to end, or not up yet".to_owned()),
                }
            }
            status => Err(format!("/readyz answered {status}")),
        }
    }

    /// What it does.
    pub(super) async fn status(&self, place: &Place) -> Result<AgentStatus, String> {
        let request = self.request(place, reqwest::Method::GET, "/status");
        let answer = request.timeout(ANSWER).send().await;
        let answer = answer.and_then(Response::error_for_status);
        let answer = answer.map_err(|error| causes(&error))?;
        small(answer).await
    }

    /// Ends codex, if it runs.
    pub(super) async fn end_run(&self, place: &Place) -> Result<(), String> {
        let request = self.request(place, reqwest::Method::POST, "/stop");
        let answer = request.timeout(ENDING).send().await;
        let answer = answer.and_then(Response::error_for_status);
        answer.map(drop).map_err(|error| causes(&error))
    }
}

/// Reads what is small, whatever an agent sends: codex runs beside it.
async fn small<T: DeserializeOwned>(mut answer: Response) -> Result<T, String> {
    let mut bytes = Vec::new();
    loop {
        let piece = answer.chunk().await;
        match piece.map_err(|error| causes(&error))? {
            Some(piece) => bytes.extend_from_slice(&piece),
            None => break,
        }
        if bytes.len() > LONGEST_ANSWER {
            return Err(format!("its answer is longer than {LONGEST_ANSWER} bytes"));
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}
