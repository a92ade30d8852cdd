//! A candidate that has passed asks the coordinator to promote its image. The
//! platform vouches for it: an identity token that only this machine can get.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tracing::info;

/// The audience of the token: it is good for nothing else.
const AUDIENCE: &str = "agent-promotion";
/// How long the coordinator may take: it waits for a trial machine to be ready.
const PROMOTION_TIMEOUT: Duration = Duration::from_secs(300);
/// How long the platform may take for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Where to ask for a promotion, and for the identity token.
#[derive(Debug)]
pub struct Promotion {
    /// The coordinator's URL, without a slash at the end.
    pub coordinator: String,
    /// The machine's own socket to the platform.
    pub platform: PathBuf,
}

impl Promotion {
    /// Asks the coordinator to promote the image.
    pub(super) async fn request(&self, token: Option<&str>, verdict: &Value) -> Result<()> {
        let coordinator = &self.coordinator;
        let body = json!({ "token": self.identity_token().await?, "verdict": verdict });
        let request = Client::new()
            .post(format!("{coordinator}/promote"))
            .timeout(PROMOTION_TIMEOUT)
            .json(&body);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await;
        let response = response.with_context(|| format!("{coordinator} does not answer"))?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(
            status.is_success(),
            "the image was not promoted: {status}: {}",
            text.trim()
        );
        info!("promoted: {}", text.trim());
        Ok(())
    }

    /// A token by which the platform says which machine this is.
    async fn identity_token(&self) -> Result<String> {
        let socket = self.platform.display();
        ensure!(
            self.platform.exists(),
            "only a machine of the platform can be promoted: there is no {socket}"
        );
        let client = Client::builder()
            .unix_socket(self.platform.as_path())
            .timeout(TOKEN_TIMEOUT)
            .build()?;
        let response = client
            .post("http://localhost/v1/tokens/oidc")
            .json(&json!({ "aud": AUDIENCE }))
            .send()
            .await
            .and_then(Response::error_for_status);
        let response = response.with_context(|| format!("cannot get a token from {socket}"))?;
        Ok(response.text().await?.trim().to_owned())
    }
}
