//! The routes, and the way of a request for an agent.
//!
//! ```text
//! /                                      a page that lists the machines
//! /?machine=ID  /assets/…                the pages of an agent
//! /mcp  /live…  /terminal  /status  …    wake the agent's machine, replay there
//! /machines…                             operations on machines
//! /promote                               authorized by an identity token
//! /healthz
//! ```

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    middleware::from_fn_with_state,
    response::Response,
    routing::{any, get, post},
};

use super::{
    app::App,
    image::is_marked,
    manage, page,
    promote::{Candidate, Promoted, PromotionError},
    proxy, replay,
    target::{Target, may_wake, names_agent, target},
};
use crate::{
    fly::{Error, Filter, MachineId, State as MachineState},
    http_access::{Access, require_known_host, require_token},
};

/// The paths of an agent that callers may reach through a coordinator.
const PATHS: [&str; 10] = [
    "/assets/{name}",
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

/// All routes; `callers` may reach agents, `managers` may manage machines.
pub(super) fn router(app: &Arc<App>, callers: Access, managers: Access) -> Router {
    let (callers, managers) = (Arc::new(callers), Arc::new(managers));
    let agents = PATHS.iter().fold(Router::new(), |router, path| {
        router.route(path, any(forward))
    });
    let agents = agents
        .route("/", get(home))
        .route("/stop", post(forward))
        .layer(from_fn_with_state(Arc::clone(&callers), require_token));
    let managed = manage::router().layer(from_fn_with_state(managers, require_token));
    agents
        .merge(managed)
        .route("/promote", post(promote))
        .route("/healthz", get(async || "ok\n"))
        .layer(from_fn_with_state(callers, require_known_host))
        .with_state(Arc::clone(app))
}

/// Needs no token of ours: the candidate's identity token authorizes it.
async fn promote(
    State(app): State<Arc<App>>,
    Json(candidate): Json<Candidate>,
) -> Result<Json<Promoted>, PromotionError> {
    app.promoter.promote(candidate).await.map(Json)
}

/// The home page of the agent that is named; without a name, the list of machines.
async fn home(State(app): State<Arc<App>>, request: Request) -> Result<Response, Error> {
    if names_agent(request.uri(), request.headers()) {
        return app.forward(request).await;
    }
    let machines = app.client.list(&Filter::default(), app.deadline()).await?;
    Ok(page::machines(machines))
}

/// Wakes the machine that a request is for, and sends the request there.
async fn forward(State(app): State<Arc<App>>, request: Request) -> Result<Response, Error> {
    app.forward(request).await
}

impl App {
    async fn forward(&self, request: Request) -> Result<Response, Error> {
        let target = target(request.uri(), request.headers())?;
        if let Target::Session(id) = &target
            && !may_wake(&target, request.method())
            && !self.has_sessions(id).await?
        {
            return Err(Error::NotFound(
                "session of that id: its machine is stopped".into(),
            ));
        }
        let id = match target {
            Target::Machine(id) | Target::Session(id) => id,
            Target::Agent(spec) => self.picker.pick(&spec).await?,
        };
        if replay::has_failed(request.headers()) {
            self.waker.invalidate(&id);
        }
        let agent = self.waker.ensure(&id).await?;
        if replay::can_be_replayed(request.method(), request.headers()) {
            let token = self.agents.token(&id);
            return Ok(replay::replay_to(self.client.app(), &id, &token));
        }
        Ok(proxy::forward(&self.agents, &agent, request).await)
    }

    /// Whether the sessions on a machine are still in its memory.
    async fn has_sessions(&self, id: &MachineId) -> Result<bool, Error> {
        let machine = self.client.get(id, self.deadline()).await?;
        let is_stopped = matches!(
            machine.state,
            MachineState::Stopped | MachineState::Stopping | MachineState::Created
        );
        Ok(!is_stopped && !is_marked(&machine))
    }
}
