//! The routes, and who may call them.
//!
//! ```text
//! /mcp                      two tools, three resources
//! /live  /live/runs         the output, byte for byte
//! /live/runs/RUN/times      when it came
//! /live/runs/RUN/view       page that plays it
//! /  /live/view  /terminal  pages for people
//! /assets/NAME              what they are made of
//! /status  /screen  /stop  /interrupt
//! /healthz  /readyz  /metrics
//! ```

mod app;
mod conditions;
mod deduplicate;
mod end_session;
mod frames;
mod kept_sessions;
mod live;
mod mcp_sessions;
mod metrics;
mod page;
mod range;
mod recent_events;
mod replay;
mod request;
mod session_ids;
mod terminal;
mod viewer;

use std::sync::{Arc, atomic::Ordering};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Serialize;
use serde_json::json;

pub use self::app::App;
use self::{
    app::MAX_BODY,
    deduplicate::{RecentCalls, deduplicate},
    end_session::end_session,
    kept_sessions::KeptSessions,
    mcp_sessions::{IDLE, McpSessions},
    session_ids::name_machine,
};
use crate::{
    http_access::{require_known_host, require_token},
    pages::asset,
    serve::mcp::Tools,
    serve::session::{State as RunState, Status},
};

/// The routes of the server.
pub fn router(app: App) -> Router {
    let session = Arc::clone(&app.session);
    // Host and Origin are checked below, for all routes alike.
    let mut config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(MAX_BODY);
    let kept = KeptSessions::new(app.sessions.clone(), IDLE);
    config.session_store = Some(Arc::new(kept.clone()));
    let sessions = Arc::new(McpSessions::new(kept));
    let mcp = StreamableHttpService::new(
        move || Ok(Tools::new(Arc::clone(&session))),
        Arc::clone(&sessions),
        config,
    );
    let mcp = Router::new()
        .nest_service("/mcp", mcp)
        .layer(middleware::from_fn_with_state(sessions, end_session))
        .layer(middleware::from_fn_with_state(
            RecentCalls::default(),
            deduplicate,
        ))
        .layer(middleware::from_fn_with_state(
            app.machine.clone(),
            name_machine,
        ));
    Router::new()
        .route("/", get(page::home))
        .route("/assets/{name}", get(asset))
        .route("/live", get(live::current))
        .route("/live/runs", get(live::runs))
        .route("/live/runs/{run}", get(live::earlier))
        .route("/live/runs/{run}/times", get(live::times))
        .route("/live/runs/{run}/view", get(replay::view_page))
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

/// The body of `/status`.
#[derive(Debug, Serialize)]
struct StatusBody {
    #[serde(flatten)]
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_seconds: Option<u64>,
}

async fn status(State(app): State<App>) -> Json<StatusBody> {
    let idle_since = app.session.idle_since();
    Json(StatusBody {
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

/// Whether a message can be sent, or a run be started.
async fn ready(State(app): State<App>) -> Response {
    if app.ending.load(Ordering::SeqCst) {
        let body = Json(json!({ "state": "ending" }));
        return (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    }
    let Status { state, log, .. } = app.session.status();
    let code = match state {
        RunState::Hung | RunState::Starting => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    (code, Json(json!({ "state": state, "log": log }))).into_response()
}
