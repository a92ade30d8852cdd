//! Each machine's own socket, `/.fly/api`: it issues identity tokens, and stops the
//! machine, without an API token.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::{AUDIENCE, Platform, Shared, lifecycle};

type Machine = State<(Arc<Shared>, String)>;

impl Platform {
    /// Serves a machine's socket; its path.
    pub(crate) fn socket(&mut self, id: &str) -> String {
        let own = format!("/v1/apps/{{app}}/machines/{id}");
        let router = Router::new()
            .route("/v1/tokens/oidc", post(token))
            .route(&format!("{own}/stop"), post(stop))
            .with_state((Arc::clone(&self.shared), id.to_owned()));
        self.serve_socket(&format!("{id}.api"), router)
    }

    /// Serves a socket whose tokens for a machine are signed with another key; its path.
    pub(crate) fn forger(&mut self, id: &str) -> String {
        let forger = self.shared.issuer.forger();
        let world = self.shared.world();
        let token = forger.token(&world.machines[id], AUDIENCE, (0, 600));
        drop(world);
        let router = Router::new().route("/v1/tokens/oidc", post(async move || token));
        self.serve_socket(&format!("{id}.forged"), router)
    }

    fn serve_socket(&mut self, name: &str, router: Router) -> String {
        let path = self.file(name);
        let listener = UnixListener::bind(&path).unwrap();
        self.servers.push(tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        }));
        path
    }
}

async fn token(State((shared, id)): Machine, Json(asked): Json<Value>) -> String {
    let world = shared.world();
    let audience = asked["aud"].as_str().unwrap_or("https://fly.io/org");
    // For tests of old and expired tokens.
    let age = asked["age"].as_i64().unwrap_or(0);
    let lifetime = asked["lifetime"].as_i64().unwrap_or(600);
    shared
        .issuer
        .token(&world.machines[&id], audience, (age, lifetime))
}

async fn stop(State((shared, id)): Machine) -> (StatusCode, Json<Value>) {
    shared.world().machines.get_mut(&id).unwrap().state = "stopping";
    lifecycle::stop(&shared, &id, "stopped");
    (StatusCode::OK, Json(json!({ "ok": true })))
}
