//! The routes, and who may call them.
//!
//! ```text
//! /mcp                      two tools, three resources
//! /live  /live/runs         the output, byte for byte
//! /live/view  /terminal     pages for people
//! /status  /screen  /stop  /interrupt
//! /healthz  /readyz  /metrics
//! ```

mod carried;
mod conditions;
mod live;
mod metrics;
mod once;
mod range;
mod terminal;
mod viewer;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use serde::Serialize;
use serde_json::json;

use self::{
    carried::carried,
    once::{Calls, once},
};
use crate::{
    http_access::{Access, require_known_host, require_token},
    serve::keys::Key,
    serve::mcp::Tools,
    serve::session::{self, Session, Status},
};

/// A message of the longest text, each character escaped in JSON.
const LONGEST_BODY: usize = 16 << 20;

/// What every route knows.
#[derive(Debug, Clone)]
pub struct App {
    /// The program and its runs.
    pub session: Arc<Session>,
    /// Who may call.
    pub access: Arc<Access>,
    /// Keys that people may type although they are blocked otherwise.
    pub allowed_keys: Arc<[Key]>,
    /// Held by the one who types.
    pub keyboard: Arc<tokio::sync::Mutex<()>>,
    /// The machine that this is, where a coordinator sends requests to it.
    pub machine: Option<Arc<str>>,
    /// Whether it is about to end, having nothing to do.
    pub ending: Arc<AtomicBool>,
}

/// All routes.
pub fn router(app: App) -> Router {
    let session = Arc::clone(&app.session);
    // Host and Origin are the guard's to check, for all routes alike.
    let config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(LONGEST_BODY);
    let mcp = StreamableHttpService::new(
        move || Ok(Tools::new(Arc::clone(&session))),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    let mcp = Router::new()
        .nest_service("/mcp", mcp)
        .layer(middleware::from_fn_with_state(Calls::default(), once))
        .layer(middleware::from_fn_with_state(app.machine.clone(), carried));
    Router::new()
        .route("/live", get(live::current))
        .route("/live/runs", get(live::runs))
        .route("/live/runs/{run}", get(live::earlier))
        .route("/live/view", get(terminal::view_page))
        .route("/terminal", get(terminal::terminal))
        .route("/status", get(status))
        .route("/screen", get(screen))
        .route("/stop", post(stop))
        .route("/interrupt", post(interrupt))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
        .merge(mcp)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app.access),
            require_token,
        ))
        .route("/healthz", get(async || "ok\n"))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app.access),
            require_known_host,
        ))
        .with_state(app)
}

/// The session's status, and for how long nothing has gone on.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_seconds: Option<u64>,
}

async fn status(State(app): State<App>) -> Json<Shown> {
    let idle_since = app.session.idle_since();
    Json(Shown {
        status: app.session.status(),
        idle_seconds: idle_since.map(|since| since.elapsed().as_secs()),
    })
}

async fn screen(State(app): State<App>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, app.session.screen_text() + "\n").into_response()
}

async fn stop(State(app): State<App>) -> Json<Status> {
    Json(app.session.stop().await)
}

async fn interrupt(State(app): State<App>) -> Response {
    match app.session.interrupt().await {
        Ok(interrupted) => Json(json!({ "interrupted": interrupted })).into_response(),
        Err(error) => (StatusCode::CONFLICT, format!("{error}\n")).into_response(),
    }
}

/// Ready to take a message, or to start.
async fn ready(State(app): State<App>) -> Response {
    if app.ending.load(Ordering::SeqCst) {
        let told = Json(json!({ "state": "ending" }));
        return (StatusCode::SERVICE_UNAVAILABLE, told).into_response();
    }
    let Status { state, log, .. } = app.session.status();
    let code = match state {
        session::State::Hung | session::State::Starting => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    (code, Json(json!({ "state": state, "log": log }))).into_response()
}
