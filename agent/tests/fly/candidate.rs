//! A machine of the gate app that asks for its image to be promoted.

use reqwest::Client;
use serde_json::{Value, json};

use crate::{fleet::Fleet, platform::AUDIENCE};

/// What candidates run.
pub(crate) const NEW: &str = "registry.fly.io/agents@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// One that runs, and its own socket into the platform.
pub(crate) struct Candidate {
    pub(crate) id: String,
    pub(crate) socket: String,
    client: Client,
}

impl Candidate {
    pub(crate) fn new(fleet: &mut Fleet, app: &str, image: &str) -> Self {
        let config = json!({ "image": image, "metadata": {} });
        let id = fleet.platform.machine(app, "candidate", config);
        fleet.platform.set_state(&id, "started");
        let socket = fleet.platform.socket(&id);
        let client = Client::builder().unix_socket(socket.as_str()).build();
        Self {
            id,
            client: client.unwrap(),
            socket,
        }
    }

    /// Who it is, for the coordinator.
    pub(crate) async fn token(&self) -> String {
        self.token_with(json!({ "aud": AUDIENCE })).await
    }

    pub(crate) async fn token_with(&self, asked: Value) -> String {
        let request = self.client.post("http://flaps/v1/tokens/oidc").json(&asked);
        request.send().await.unwrap().text().await.unwrap()
    }
}

/// Without any token but that of the candidate.
pub(crate) async fn promote(fleet: &Fleet, token: &str, verdict: Value) -> (u16, Value) {
    let body = json!({ "token": token, "verdict": verdict });
    let request = fleet.bare("POST", "coord", "/promote").json(&body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// What `agent smoke` says of an image that has passed.
pub(crate) fn passed(image: &str) -> Value {
    let (_, digest) = image.split_once('@').unwrap();
    json!({ "passed": true, "digest": digest, "tiers": [] })
}
