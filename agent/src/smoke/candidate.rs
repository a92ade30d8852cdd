//! The machine that is tried out, as its callers see it.

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    exercise::Exercise,
    ground::{Change, Judgement, Started},
    player::Player,
};
use crate::{client::Server, machine::probe::Probe};

/// The candidate.
#[derive(Debug)]
pub struct Candidate {
    agent: Server,
    ground: Server,
}

impl Candidate {
    /// At these addresses.
    pub fn new(agent: String, ground: String, token: Option<&str>) -> Self {
        let server = |url| Server {
            url,
            token: token.map(str::to_owned),
            machine: None,
        };
        Self {
            agent: server(agent),
            ground: server(ground),
        }
    }

    pub(super) fn url(&self) -> String {
        self.agent.url.clone()
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.agent.token.as_deref()
    }

    /// Whether it answers at all.
    pub(super) async fn healthy(&self) -> Result<()> {
        let answer = request(&self.agent, Method::GET, "/healthz").send().await;
        let answer = answer.with_context(|| format!("{} does not answer", self.agent.url))?;
        ensure!(
            answer.status().is_success(),
            "/healthz answers {}",
            answer.status()
        );
        Ok(())
    }

    pub(super) async fn probe(&self) -> Result<Probe> {
        self.ask(Method::GET, "/probe", &Value::Null).await
    }

    /// Lays an exercise out, in place of the last one.
    pub(super) async fn lay_out(&self, exercise: &Exercise) -> Result<Value> {
        let name = exercise.name;
        self.ask(Method::PUT, "/exercise", &json!({ "name": name }))
            .await
    }

    /// Changes something in a view, and looks where it shows.
    pub(super) async fn change(&self) -> Result<Change> {
        self.ask(Method::POST, "/change", &Value::Null).await
    }

    /// An agent on the view of this part.
    pub(super) async fn agent(&self, part: usize) -> Result<Player> {
        let asked = json!({ "part": part });
        let started: Started = self.ask(Method::POST, "/agents", &asked).await?;
        let mut url = reqwest::Url::parse(&self.ground.url)?;
        let set = url.set_port(Some(started.port));
        ensure!(set.is_ok(), "{} names no host", self.ground.url);
        Ok(Player::new(Server {
            url: url.to_string().trim_end_matches('/').to_owned(),
            token: self.agent.token.clone(),
            machine: None,
        }))
    }

    /// The machine's own agent.
    pub(super) fn own_agent(&self) -> Player {
        Player::new(self.agent.clone())
    }

    /// Gives the view of a part what others have repaired.
    pub(super) async fn hand(&self, to: usize, from: &[usize]) -> Result<()> {
        let asked = json!({ "to": to, "from": from });
        let _done: Value = self.ask(Method::POST, "/hand", &asked).await?;
        Ok(())
    }

    /// The suite on a view of its own, with what these parts have repaired.
    pub(super) async fn judge(&self, parts: &[usize]) -> Result<Judgement> {
        self.ask(Method::POST, "/judge", &json!({ "parts": parts }))
            .await
    }

    /// What a program prints for each input, likewise.
    pub(super) async fn outputs(
        &self,
        parts: &[usize],
        program: &str,
        inputs: &[String],
    ) -> Result<Vec<String>> {
        let asked = json!({ "parts": parts, "program": program, "inputs": inputs });
        self.ask(Method::POST, "/outputs", &asked).await
    }

    /// Takes the exercise away.
    pub(super) async fn clear(&self) -> Result<()> {
        let _done: Value = self.ask(Method::DELETE, "/exercise", &Value::Null).await?;
        Ok(())
    }

    async fn ask<T: for<'a> Deserialize<'a>>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T> {
        let request = request(&self.ground, method, path)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(body)?);
        let answer = request.send().await;
        let answer =
            answer.with_context(|| format!("{}: exercises cannot be laid out", self.ground.url))?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{path}: {}", text.trim());
        }
        serde_json::from_str(&text).with_context(|| format!("{path} answers something else"))
    }
}

/// A request with the server's token.
pub(super) fn request(server: &Server, method: Method, path: &str) -> RequestBuilder {
    let request = Client::new().request(method, format!("{}{path}", server.url));
    match &server.token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}
