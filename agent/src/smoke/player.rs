//! One agent that is given something to do, through MCP as any caller would.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use super::candidate::request;
use crate::client::Server;

const LOOK: Duration = Duration::from_millis(250);
/// It has come to rest when it has reported so for this long: between a message
/// and the first report of work it looks idle too.
const REST: Duration = Duration::from_secs(2);

/// An agent.
#[derive(Debug)]
pub(super) struct Player {
    server: Server,
}

impl Player {
    pub(super) fn new(server: Server) -> Self {
        Self { server }
    }

    /// Brings codex up.
    pub(super) async fn start(&self) -> Result<()> {
        let started = self.server.call("start", Map::new()).await;
        started.map(drop).context("codex does not start")
    }

    /// Gives it a message.
    pub(super) async fn message(&self, text: &str) -> Result<()> {
        let arguments = Map::from_iter([("text".to_owned(), text.into())]);
        let sent = self.server.call("message", arguments).await;
        let sent = sent.context("the message does not get through")?;
        ensure!(
            sent["submitted"] == Value::Bool(true),
            "the message was not submitted; the screen shows:\n{}",
            sent["screen"].as_str().unwrap_or_default()
        );
        Ok(())
    }

    /// One turn: a message, and until codex has come to rest.
    pub(super) async fn turn(&self, text: &str) -> Result<()> {
        self.message(text).await?;
        let mut rested = Instant::now();
        while rested.elapsed() < REST {
            sleep(LOOK).await;
            if self.working().await? {
                rested = Instant::now();
            }
        }
        Ok(())
    }

    /// Whether it works; a codex that has failed is an error.
    pub(super) async fn working(&self) -> Result<bool> {
        let status = self.get("/status").await?;
        let status: Value = serde_json::from_str(&status)?;
        let told = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
        match told("state").as_str() {
            "working" | "starting" => Ok(true),
            "idle" => Ok(false),
            state => bail!(
                "codex is in the state {state} ({}); its screen shows:\n{}",
                told("detail"),
                self.screen().await?
            ),
        }
    }

    /// What its terminal shows.
    pub(super) async fn screen(&self) -> Result<String> {
        self.get("/screen").await
    }

    /// Ends codex.
    pub(super) async fn stop(&self) -> Result<()> {
        let answer = request(&self.server, Method::POST, "/stop").send().await?;
        answer.error_for_status()?;
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<String> {
        let answer = request(&self.server, Method::GET, path).send().await;
        let answer = answer.context("the agent does not answer any more")?;
        Ok(answer.error_for_status()?.text().await?)
    }
}
