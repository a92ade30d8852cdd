//! `agent exercises`: on the machine under test, deploys exercises, starts agents
//! on them, and judges their work by the files that they have changed.
//!
//! ```text
//! GET /probe                 what the machine can do, as blockd doctor reports it
//! PUT, DELETE /exercise      one at a time: a repository, served by blockd, and a
//!                            view of it for each part, one to judge on, one read-only
//! POST /change               changes files in a view, and reports where they show
//! POST /agents               starts agent serve on the view of a part
//! POST /copy                 copies the repairs of some parts into the view of another
//! POST /judge, /outputs      runs the suite, or a program, on the view to judge on
//! ```

mod change;
mod confined;
mod deployed;
mod judge;
mod options;
mod program;
pub(super) mod protocol;
mod view;

use std::{
    io::{self, Write},
    sync::Arc,
};

use anyhow::{Context, Error, Result, anyhow};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{MappedMutexGuard, Mutex, MutexGuard},
};

pub use self::options::Options;
use self::{
    deployed::Deployed,
    protocol::{
        AgentRequest, Change, CopyRequest, DeployRequest, JudgeRequest, Judgement, OutputsRequest,
        Started,
    },
};
use super::exercise::named;
use crate::{
    http_access::{Access, require_token},
    http_server,
    machine::doctor::Findings,
    signals::EndSignals,
};

#[derive(Debug)]
struct Server {
    options: Arc<Options>,
    deployed: Mutex<Option<Deployed>>,
}

type Shared = State<Arc<Server>>;

/// An error as a response: its text, for whoever reads the verdict.
struct Failure(Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let text = format!("{:#}\n", self.0);
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    }
}

type Answer<T> = std::result::Result<Json<T>, Failure>;

/// Serves until SIGTERM or SIGINT, and removes the exercise then.
///
/// # Errors
///
/// When the address cannot be bound, or the exercise not be removed.
pub async fn serve(options: Options) -> Result<()> {
    tokio::fs::create_dir_all(&options.directory).await?;
    view::clear_left_over(&options).await;
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", options.listen))?;
    let mut signals = EndSignals::listen()?;
    let mut out = io::stdout();
    writeln!(out, "exercises at http://{}", listener.local_addr()?)?;
    out.flush()?;
    let server = Arc::new(Server {
        options: Arc::new(options),
        deployed: Mutex::default(),
    });
    let routes = router(Arc::clone(&server));
    http_server::serve(listener, routes, async move { signals.received().await }).await;
    server.clear().await
}

fn router(server: Arc<Server>) -> Router {
    let access = Access::new(server.options.token.clone());
    Router::new()
        .route("/probe", get(probe))
        .route("/exercise", put(deploy).delete(clear))
        .route("/change", post(change))
        .route("/agents", post(agents))
        .route("/copy", post(copy))
        .route("/judge", post(judge))
        .route("/outputs", post(outputs))
        .layer(from_fn_with_state(Arc::new(access), require_token))
        .with_state(server)
}

impl Server {
    /// The exercise that is deployed.
    async fn deployed(&self) -> Result<MappedMutexGuard<'_, Deployed>> {
        let deployed = self.deployed.lock().await;
        MutexGuard::try_map(deployed, Option::as_mut)
            .map_err(|_| anyhow!("no exercise is deployed"))
    }

    async fn clear(&self) -> Result<()> {
        match self.deployed.lock().await.take() {
            Some(deployed) => deployed.remove().await,
            None => Ok(()),
        }
    }
}

async fn probe(State(server): Shared) -> Answer<Findings> {
    let Options { blockd, .. } = server.options.as_ref();
    Ok(Json(
        Findings::collect(blockd, &server.options.state()).await?,
    ))
}

async fn deploy(State(server): Shared, Json(request): Json<DeployRequest>) -> Answer<Value> {
    let exercise = named(&request.name);
    let exercise = exercise.ok_or_else(|| anyhow!("there is no exercise {}", request.name))?;
    server.clear().await?;
    let mut deployed = server.deployed.lock().await;
    // Where it can be removed, even if not all of it can be attached.
    let new = deployed.insert(Deployed::new(&server.options, exercise).await?);
    new.attach().await?;
    Ok(Json(json!(new.views)))
}

async fn clear(State(server): Shared) -> Answer<Value> {
    server.clear().await?;
    Ok(Json(Value::Null))
}

async fn change(State(server): Shared) -> Answer<Change> {
    Ok(Json(server.deployed().await?.change().await?))
}

async fn agents(State(server): Shared, Json(request): Json<AgentRequest>) -> Answer<Started> {
    let port = server.deployed().await?.start_agent(request.part).await?;
    Ok(Json(Started { port }))
}

async fn copy(State(server): Shared, Json(request): Json<CopyRequest>) -> Answer<Value> {
    let deployed = server.deployed().await?;
    deployed.copy(&request.from, request.to)?;
    Ok(Json(Value::Null))
}

async fn judge(State(server): Shared, Json(request): Json<JudgeRequest>) -> Answer<Judgement> {
    let deployed = server.deployed().await?;
    Ok(Json(deployed.judge(&request.parts).await?))
}

async fn outputs(
    State(server): Shared,
    Json(request): Json<OutputsRequest>,
) -> Answer<Vec<String>> {
    let OutputsRequest {
        parts,
        program,
        inputs,
    } = &request;
    let deployed = server.deployed().await?;
    let outputs = deployed.outputs(parts, program, inputs).await;
    Ok(Json(outputs.context("cannot run the program")?))
}
