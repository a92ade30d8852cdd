//! The machine under test, the candidate, as its callers see it.

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned, de::IgnoredAny};
use serde_json::Value;

use super::{
    agent_client::AgentClient,
    exercise::Exercise,
    exercises::protocol::{
        AgentRequest, Change, CopyRequest, DeployRequest, JudgeRequest, Judgement, OutputsRequest,
        Started,
    },
};
use crate::{client::Server, machine::doctor::Findings};

/// The candidate.
#[derive(Debug)]
pub struct Candidate {
    agent: Server,
    exercises: Server,
}

impl Candidate {
    /// A candidate whose agent, and whose `agent exercises`, are at these URLs.
    pub fn new(agent: String, exercises: String, token: Option<&str>) -> Self {
        let server = |url| Server {
            url,
            token: token.map(str::to_owned),
            machine: None,
        };
        Self {
            agent: server(agent),
            exercises: server(exercises),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.agent.url
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.agent.token.as_deref()
    }

    /// Checks that the agent answers.
    pub(super) async fn check_health(&self) -> Result<()> {
        let response = self.agent.request(Method::GET, "/healthz")?.send().await;
        let response = response.with_context(|| format!("{} does not answer", self.agent.url))?;
        let status = response.status();
        ensure!(status.is_success(), "/healthz answers {status}");
        Ok(())
    }

    /// What the machine can do.
    pub(super) async fn findings(&self) -> Result<Findings> {
        self.call(Method::GET, "/probe", &()).await
    }

    /// Deploys an exercise in place of the last one; the views of it.
    pub(super) async fn deploy(&self, exercise: &Exercise) -> Result<Value> {
        let name = exercise.name.to_owned();
        self.call(Method::PUT, "/exercise", &DeployRequest { name })
            .await
    }

    /// Changes files in one view, and reports where the changes show.
    pub(super) async fn change(&self) -> Result<Change> {
        self.call(Method::POST, "/change", &()).await
    }

    /// Starts an agent on the view of a part.
    pub(super) async fn agent(&self, part: usize) -> Result<AgentClient> {
        let started: Started = self
            .call(Method::POST, "/agents", &AgentRequest { part })
            .await?;
        let mut url = reqwest::Url::parse(&self.exercises.url)?;
        let set = url.set_port(Some(started.port));
        ensure!(set.is_ok(), "the URL {} has no host", self.exercises.url);
        Ok(AgentClient::new(Server {
            url: url.as_str().trim_end_matches('/').to_owned(),
            token: self.agent.token.clone(),
            machine: None,
        }))
    }

    /// The machine's own agent.
    pub(super) fn own_agent(&self) -> AgentClient {
        AgentClient::new(self.agent.clone())
    }

    /// Copies what some parts have repaired into the view of another.
    pub(super) async fn copy(&self, from: &[usize], to: usize) -> Result<()> {
        let from = from.to_vec();
        let _: IgnoredAny = self
            .call(Method::POST, "/copy", &CopyRequest { from, to })
            .await?;
        Ok(())
    }

    /// Runs the test suite on a view of its own, with the repairs of these parts.
    pub(super) async fn judge(&self, parts: &[usize]) -> Result<Judgement> {
        let parts = parts.to_vec();
        self.call(Method::POST, "/judge", &JudgeRequest { parts })
            .await
    }

    /// Runs a program on that view for each input; what it prints.
    pub(super) async fn outputs(
        &self,
        parts: &[usize],
        program: &str,
        inputs: &[String],
    ) -> Result<Vec<String>> {
        let request = OutputsRequest {
            parts: parts.to_vec(),
            program: program.to_owned(),
            inputs: inputs.to_vec(),
        };
        self.call(Method::POST, "/outputs", &request).await
    }

    /// Removes the exercise.
    pub(super) async fn clear(&self) -> Result<()> {
        let _: IgnoredAny = self.call(Method::DELETE, "/exercise", &()).await?;
        Ok(())
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T> {
        let request = self.exercises.request(method, path)?.json(body);
        let response = request.send().await;
        let response = response.with_context(|| {
            format!("agent exercises at {} does not answer", self.exercises.url)
        })?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{path}: {}", text.trim());
        }
        serde_json::from_str(&text)
            .with_context(|| format!("the response to {path} cannot be decoded"))
    }
}
