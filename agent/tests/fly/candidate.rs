//! A machine of the gate app, which asks for the promotion of its image.

use reqwest::Client;
use serde_json::{Value, json};

use crate::{fleet::Fleet, platform::AUDIENCE};

/// The image of candidates.
pub(crate) const NEW: &str = "registry.fly.io/agents@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A running machine, and its own socket to the platform.
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

    /// An identity token for a promotion.
    pub(crate) async fn token(&self) -> String {
        self.token_with(json!({ "aud": AUDIENCE })).await
    }

    pub(crate) async fn token_with(&self, asked: Value) -> String {
        let request = self.client.post("http://flaps/v1/tokens/oidc").json(&asked);
        request.send().await.unwrap().text().await.unwrap()
    }
}

/// Asks for a promotion, with no other token than that of the candidate.
pub(crate) async fn promote(fleet: &Fleet, token: &str, verdict: Value) -> (u16, Value) {
    let body = json!({ "token": token, "verdict": verdict });
    let request = fleet
        .request_without_token("POST", "coord", "/promote")
        .json(&body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The verdict of `agent smoke` on an image that passed.
pub(crate) fn passed(image: &str) -> Value {
    let (_, digest) = image.split_once('@').unwrap();
    json!({ "passed": true, "digest": digest, "tiers": [] })
}
