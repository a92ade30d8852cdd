//! A candidate that has passed says so to the coordinator, and the platform
//! says who it is: its word is a token that only this machine can ask for.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

/// What the token is good for, and nothing else.
const AUDIENCE: &str = "agent-promotion";
/// The coordinator brings one machine up with the image before it answers.
const PATIENCE: Duration = Duration::from_secs(300);
/// The platform is on the same machine.
const SOON: Duration = Duration::from_secs(30);

/// Whom to tell, and who says who we are.
#[derive(Debug)]
pub struct Promotion {
    /// The coordinator's URL.
    pub coordinator: String,
    /// The machine's own socket into the platform.
    pub platform: PathBuf,
}

impl Promotion {
    /// Has the image promoted.
    pub(super) async fn ask(&self, token: Option<&str>, verdict: &Value) -> Result<()> {
        let coordinator = &self.coordinator;
        let body = json!({ "token": self.identity().await?, "verdict": verdict });
        let request = Client::new()
            .post(format!("{coordinator}/promote"))
            .timeout(PATIENCE)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&body)?);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await;
        let answer = answer.with_context(|| format!("{coordinator} does not answer"))?;
        let status = answer.status();
        let told = answer.text().await?;
        ensure!(
            status.is_success(),
            "it is not promoted: {status}: {}",
            told.trim()
        );
        tracing::info!("promoted: {}", told.trim());
        Ok(())
    }

    /// Who this machine is, in the platform's words.
    async fn identity(&self) -> Result<String> {
        let socket = self.platform.display();
        ensure!(
            self.platform.exists(),
            "only a machine of the platform can be promoted: there is no {socket}"
        );
        let client = Client::builder()
            .unix_socket(self.platform.as_path())
            .timeout(SOON)
            .build()?;
        let answer = client
            .post("http://localhost/v1/tokens/oidc")
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&json!({ "aud": AUDIENCE }))?)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status);
        let answer = answer.with_context(|| format!("{socket} says not who this machine is"))?;
        Ok(answer.text().await?.trim().to_owned())
    }
}
