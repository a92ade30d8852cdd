//! Each machine's own `/.fly/api`: it makes identity tokens, and stops or
//! suspends the machine, without a token of the API.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::{Platform, Shared, life};

type Machine = State<(Arc<Shared>, String)>;

impl Platform {
    /// Serves a machine's socket, and says where.
    pub(crate) fn socket(&mut self, id: &str) -> String {
        let path = self.file(&format!("{id}.api"));
        let listener = UnixListener::bind(&path).unwrap();
        let own = format!("/v1/apps/{{app}}/machines/{id}");
        let router = Router::new()
            .route("/v1/tokens/oidc", post(token))
            .route(&format!("{own}/stop"), post(stop))
            .with_state((Arc::clone(&self.shared), id.to_owned()));
        self.servers.push(tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        }));
        path
    }
}

async fn token(State((shared, id)): Machine, Json(asked): Json<Value>) -> String {
    let world = shared.world();
    let audience = asked["aud"].as_str().unwrap_or("https://fly.io/org");
    // For tests of what has ended.
    let lifetime = asked["lifetime"].as_i64().unwrap_or(600);
    shared
        .issuer
        .token(&world.machines[&id], audience, lifetime)
}

async fn stop(State((shared, id)): Machine) -> (StatusCode, Json<Value>) {
    shared.world().machines.get_mut(&id).unwrap().state = "stopping";
    life::stop(&shared, &id, "stopped");
    (StatusCode::OK, Json(json!({ "ok": true })))
}
