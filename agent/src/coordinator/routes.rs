//! The routes, and what becomes of a request for an agent.
//!
//! ```text
//! /mcp  /live…  /terminal  /status  …    an agent's: woken, then replayed there
//! /machines…                             start, stop, resize and so on
//! /promote                               by an identity token
//! /healthz
//! ```

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::json;

use super::{
    App,
    agents::Place,
    manage, promote, proxy, replay,
    roll::is_marked,
    target::{Target, may_wake, target},
};
use crate::{
    fly::{Error, MachineId, State as MachineState},
    http_access::{Access, require_known_host, require_token},
};

/// Paths of an agent that callers may reach through us.
const PATHS: [&str; 9] = [
    "/mcp",
    "/live",
    "/live/runs",
    "/live/runs/{run}",
    "/live/view",
    "/terminal",
    "/status",
    "/screen",
    "/interrupt",
];

/// All routes.
pub(super) fn router(app: &Arc<App>, callers: Access, managers: Access) -> Router {
    let (callers, managers) = (Arc::new(callers), Arc::new(managers));
    let agents = PATHS.iter().fold(Router::new(), |router, path| {
        router.route(path, any(forward))
    });
    let agents = agents
        .route("/stop", post(forward))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&callers),
            require_token,
        ));
    let managed = manage::router().layer(middleware::from_fn_with_state(managers, require_token));
    agents
        .merge(managed)
        .route("/promote", post(promote::promote))
        .route("/healthz", get(async || "ok\n"))
        .layer(middleware::from_fn_with_state(callers, require_known_host))
        .with_state(Arc::clone(app))
}

/// Sends a request to the machine that it is for, which is awake by then.
async fn forward(State(app): State<Arc<App>>, request: Request) -> Response {
    match app.forward(request).await {
        Ok(response) => response,
        Err(error) => refusal(&error),
    }
}

impl App {
    async fn forward(&self, request: Request) -> Result<Response, Error> {
        let target = target(request.uri(), request.headers())?;
        if let Target::Session(id) = &target
            && !may_wake(&target, request.method())
            && !self.keeps_sessions(id).await?
        {
            return Err(Error::NotFound(
                "session of that id: its machine is stopped".into(),
            ));
        }
        let id = match target {
            Target::Machine(id) | Target::Session(id) => id,
            Target::Agent(wanted) => self.picker.pick(&self.agents, &wanted).await?,
        };
        if replay::has_failed(request.headers()) {
            self.waker.doubt(&id);
        }
        let place: Place = self.waker.ensure(&id).await?;
        if replay::can_be_replayed(request.method(), request.headers()) {
            let token = self.agents.token(&id);
            return Ok(replay::to(self.client.app(), &id, &token));
        }
        Ok(proxy::pass(&self.agents, &place, request).await)
    }

    /// Whether the sessions on a machine are still in its memory.
    async fn keeps_sessions(&self, id: &MachineId) -> Result<bool, Error> {
        let machine = self.client.get(id, self.deadline()).await?;
        let is_stopped = matches!(
            machine.state,
            MachineState::Stopped | MachineState::Stopping | MachineState::Created
        );
        Ok(!is_stopped && !is_marked(&machine))
    }

    /// Until when a request may take.
    pub(super) fn deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + self.patience
    }
}

/// An error as an answer: one sentence, as JSON.
pub(super) fn refusal(error: &Error) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, Json(json!({ "error": error.to_string() }))).into_response();
    if let Some(after) = error.retry_after() {
        let after = HeaderValue::from(after.as_secs());
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}
