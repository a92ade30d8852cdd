//! The routes, and the way of a request for an agent.
//!
//! ```text
//! /                                      a page that lists the machines
//! /terminal  /live/view  /live/runs/RUN/view  /assets/…   pages of ours that show an agent
//! /mcp  /live…  /terminal  /status  …    wake the agent's machine, replay there
//! /machines…                             operations on machines
//! /promote                               authorized by an identity token
//! /healthz
//! ```

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{any, get, post},
};

use super::{
    app::App,
    image::is_marked,
    manage, page,
    promote::{Candidate, Promoted, PromotionError},
    proxy, replaced, replay,
    spec::Asker,
    target::{Target, may_wake, names_agent, target},
};
use crate::{
    fly::{Error, Filter, MachineId, State as MachineState},
    http_access::{Access, require_known_host, require_token},
    pages::{self, Page, Shown, asset, replay_page},
};

/// The paths of an agent that callers may reach through a coordinator.
const PATHS: [&str; 8] = [
    "/mcp",
    "/live",
    "/live/runs",
    "/live/runs/{run}",
    "/live/runs/{run}/times",
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
    let pages = Arc::clone(&callers);
    let agents = agents
        .route("/", get(home))
        .route("/assets/{name}", get(load))
        .route("/live/view", any(show))
        .route("/live/runs/{run}/view", any(play))
        .route("/terminal", any(show))
        .route("/stop", post(forward))
        .layer(Extension(pages))
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
async fn home(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Arc<Access>>,
    request: Request,
) -> Result<Response, Error> {
    if names_agent(request.uri(), request.headers()) {
        if is_of_a_program(request.headers()) {
            return app.forward(request).await;
        }
        let location = format!("./live/view{}", pages::query(request.uri()));
        return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response());
    }
    let machines = app.client.list(&Filter::default(), app.deadline()).await?;
    let cookie = [(header::SET_COOKIE, access.cookie())];
    Ok((cookie, page::machines(machines)).into_response())
}

/// Shows an agent's terminal in a page of our own. Only its WebSocket is the agent's.
async fn show(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Arc<Access>>,
    request: Request,
) -> Result<Response, Error> {
    if is_of_a_program(request.headers()) {
        return app.forward(request).await;
    }
    target(request.uri(), request.headers())?;
    let page = match request.uri().path() {
        "/terminal" => Page::Terminal,
        _ => Page::View,
    };
    let shown = Shown {
        state: "connecting".to_owned(),
        ..Shown::default()
    };
    let cookie = access.cookie();
    Ok(pages::terminal_page(page, request.uri(), &shown, &cookie))
}

/// Plays a run of an agent's in a page of our own.
async fn play(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Arc<Access>>,
    Path(run): Path<u64>,
    request: Request,
) -> Result<Response, Error> {
    if is_of_a_program(request.headers()) {
        return app.forward(request).await;
    }
    target(request.uri(), request.headers())?;
    Ok(replay_page(run, request.uri(), &access.cookie()))
}

/// A file of our pages; a program gets the agent's.
async fn load(
    State(app): State<Arc<App>>,
    name: Path<String>,
    request: Request,
) -> Result<Response, Error> {
    if is_of_a_program(request.headers()) {
        return app.forward(request).await;
    }
    Ok(asset(name, request.headers().clone()).await)
}

/// Whether no browser shows the answer: it has its own bearer token, or becomes a
/// WebSocket. What a browser shows in our name is not left to an agent.
fn is_of_a_program(headers: &HeaderMap) -> bool {
    let scheme = headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    let has_bearer = scheme
        .and_then(|value| value.get(..7))
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    has_bearer || headers.contains_key(header::UPGRADE)
}

/// Wakes the machine that a request is for, and sends the request there.
async fn forward(State(app): State<Arc<App>>, request: Request) -> Result<Response, Error> {
    app.forward(request).await
}

impl App {
    async fn forward(&self, request: Request) -> Result<Response, Error> {
        let mut target = target(request.uri(), request.headers())?;
        if let Target::Agent(spec) = &mut target
            && *request.method() == Method::POST
            && request.uri().path() == "/mcp"
        {
            spec.asker = Asker::Caller;
        }
        if let Target::Session(id) = &target
            && !may_wake(&target, request.method())
            && !self.has_sessions(id).await?
        {
            return asleep(request.method());
        }
        let agent = match &target {
            Target::Agent(spec) => {
                if replay::has_failed(request.headers()) {
                    self.waker.invalidate(&self.picker.pick(spec).await?);
                }
                self.ready_for(spec).await?
            }
            Target::Session(id) => {
                self.forget_failed(&request, id);
                self.waker.ensure(id).await.map_err(session_error)?
            }
            Target::Machine(id) => {
                self.forget_failed(&request, id);
                let agent = self.ready(id).await?;
                if agent.machine != *id
                    && let Some(response) = replaced::response(&request, id, &agent.machine)
                {
                    return Ok(response);
                }
                agent
            }
        };
        // The answer to a replay does not come by us.
        if is_of_a_program(request.headers())
            && replay::can_be_replayed(request.method(), request.headers())
        {
            let token = self.agents.grant(&agent);
            let app = self.client.app();
            return Ok(replay::replay_to(app, &agent.machine, &token));
        }
        Ok(proxy::forward(&self.agents, &agent, request).await)
    }

    /// Forgets that a machine was ready where the replay of a request has failed.
    fn forget_failed(&self, request: &Request, id: &MachineId) {
        if replay::has_failed(request.headers()) {
            self.waker.invalidate(id);
        }
    }

    /// Whether the sessions on a machine are still in its memory. Those of a machine
    /// that is lost are an error.
    async fn has_sessions(&self, id: &MachineId) -> Result<bool, Error> {
        let machine = self.client.get(id, self.deadline()).await?;
        if machine.state.is_gone() {
            let state = machine.state;
            return Err(Error::NotFound(format!(
                "session of that id: machine {id} is {state}; initialize a new session"
            )));
        }
        let is_stopped = matches!(
            machine.state,
            MachineState::Stopped | MachineState::Stopping | MachineState::Created
        );
        Ok(!is_stopped && !is_marked(&machine))
    }
}

/// The answer about a session whose machine is stopped, where it is on disk. It has
/// no stream, which MCP says by 405 (a 404 would end the session); the client's next
/// request starts the machine.
fn asleep(method: &Method) -> Result<Response, Error> {
    let message = "the machine of that session is stopped: a POST starts it\n";
    if *method == Method::GET {
        let allow = [(header::ALLOW, "POST, DELETE")];
        return Ok((StatusCode::METHOD_NOT_ALLOWED, allow, message).into_response());
    }
    Err(Error::NotFound(
        "session of that id: its machine is stopped".into(),
    ))
}

/// A session is never replaced: MCP has a client that is answered 404 initialize a
/// new one, and that request gets the machine in the place of a lost one.
fn session_error(error: Error) -> Error {
    match error {
        Error::Unstartable { machine, state } => Error::NotFound(format!(
            "session of that id: machine {machine} is {state}; initialize a new session"
        )),
        other => other,
    }
}
