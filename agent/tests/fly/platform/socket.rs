//! Each machine's own `/.fly/api`: it makes identity tokens, and stops or
//! suspends the machine, without a token of the API.

use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::{AUDIENCE, Platform, Shared, life};

type Machine = State<(Arc<Shared>, String)>;

impl Platform {
    /// Serves a machine's socket, and says where.
    pub(crate) fn socket(&mut self, id: &str) -> String {
        let own = format!("/v1/apps/{{app}}/machines/{id}");
        let router = Router::new()
            .route("/v1/tokens/oidc", post(token))
            .route(&format!("{own}/stop"), post(stop))
            .with_state((Arc::clone(&self.shared), id.to_owned()));
        self.serve_socket(&format!("{id}.api"), router)
    }

    /// Somebody else who makes tokens for a machine, with a key of his own.
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
    // For tests of what is old, or has ended.
    let age = asked["age"].as_i64().unwrap_or(0);
    let lifetime = asked["lifetime"].as_i64().unwrap_or(600);
    shared
        .issuer
        .token(&world.machines[&id], audience, (age, lifetime))
}

async fn stop(State((shared, id)): Machine) -> (StatusCode, Json<Value>) {
    shared.world().machines.get_mut(&id).unwrap().state = "stopping";
    life::stop(&shared, &id, "stopped");
    (StatusCode::OK, Json(json!({ "ok": true })))
}
