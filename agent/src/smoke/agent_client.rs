//! A client of one agent, which uses it over MCP as any caller would.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Map;
use tokio::time::{Instant, sleep};

use crate::client::Server;

/// The pause between two looks at an agent.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// A turn is over when codex has been idle for so long: between a message and
/// the first report of work it looks idle, too.
const REST_TIME: Duration = Duration::from_secs(2);

/// The result of the tool `message`.
#[derive(Deserialize)]
struct Sent {
    submitted: bool,
    /// The screen, if the message was not submitted.
    #[serde(default)]
    screen: Option<String>,
}

/// What matters here of an agent's `/status`.
#[derive(Deserialize)]
struct Status {
    state: String,
    #[serde(default)]
    detail: Option<String>,
}

/// A client of one agent.
#[derive(Debug)]
pub(super) struct AgentClient {
    server: Server,
}

impl AgentClient {
    pub(super) fn new(server: Server) -> Self {
        Self { server }
    }

    /// Starts codex.
    pub(super) async fn start(&self) -> Result<()> {
        let started = self.server.call("start", Map::new()).await;
        started.map(drop).context("codex does not start")
    }

    /// Sends codex a message.
    pub(super) async fn message(&self, text: &str) -> Result<()> {
        let arguments = Map::from_iter([("text".to_owned(), text.into())]);
        let sent = self.server.call("message", arguments).await;
        let sent: Sent = serde_json::from_value(sent.context("cannot send codex a message")?)?;
        ensure!(
            sent.submitted,
            "the message was not submitted; the screen shows:\n{}",
            sent.screen.as_deref().unwrap_or("(the agent does not say)")
        );
        Ok(())
    }

    /// Sends codex a message, and waits for the end of its turn.
    pub(super) async fn turn(&self, text: &str) -> Result<()> {
        self.message(text).await?;
        let mut idle_since = Instant::now();
        while idle_since.elapsed() < REST_TIME {
            sleep(POLL_INTERVAL).await;
            if self.is_working().await? {
                idle_since = Instant::now();
            }
        }
        Ok(())
    }

    /// Whether codex is working rather than idle; any other state is an error.
    pub(super) async fn is_working(&self) -> Result<bool> {
        let status: Status = serde_json::from_str(&self.get("/status").await?)?;
        match status.state.as_str() {
            "working" | "starting" => Ok(true),
            "idle" => Ok(false),
            state => bail!(
                "codex is in the state {state} ({}); its screen shows:\n{}",
                status.detail.as_deref().unwrap_or("no details"),
                self.screen().await?
            ),
        }
    }

    /// The text of codex's screen.
    pub(super) async fn screen(&self) -> Result<String> {
        self.get("/screen").await
    }

    /// Stops codex.
    pub(super) async fn stop(&self) -> Result<()> {
        let request = self.server.request(Method::POST, "/stop")?;
        request.send().await?.error_for_status()?;
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<String> {
        let response = self.server.request(Method::GET, path)?.send().await;
        let response = response.context("the agent no longer answers")?;
        Ok(response.error_for_status()?.text().await?)
    }
}
