//! A candidate that has passed says so to the coordinator, and the platform
//! says who it is: its word is a token that only this machine can ask for.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

/// The machine's own socket into the platform.
const PLATFORM: &str = "/.fly/api";
/// What the token is good for, and nothing else.
const AUDIENCE: &str = "agent-promotion";
/// The coordinator brings one machine up with the image before it answers.
const PATIENCE: Duration = Duration::from_secs(300);

/// Has the image promoted.
pub(super) async fn promote(coordinator: &str, token: Option<&str>, verdict: &Value) -> Result<()> {
    let identity = identity(Path::new(PLATFORM)).await?;
    let body = json!({ "token": identity, "verdict": verdict });
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
async fn identity(socket: &Path) -> Result<String> {
    ensure!(
        socket.exists(),
        "only a machine of the platform can be promoted: there is no {}",
        socket.display()
    );
    let client = Client::builder().unix_socket(socket).build()?;
    let answer = client
        .post("http://localhost/v1/tokens/oidc")
        .header("content-type", "application/json")
        .body(serde_json::to_vec(&json!({ "aud": AUDIENCE }))?)
        .send()
        .await?;
    Ok(answer.error_for_status()?.text().await?.trim().to_owned())
}
