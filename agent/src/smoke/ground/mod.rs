//! `agent ground`: the machine that is tried out lays exercises out, starts
//! agents on them, and judges by what lies in files.
//!
//! ```text
//! GET /probe                 what the kernel offers
//! PUT, DELETE /exercise      one at a time: a repository, served by blockd, and a
//!                            view of it for each part, one to judge on, one read-only
//! POST /change               a change in a view, and where it shows
//! POST /agents               an `agent serve` on a view
//! POST /hand                 repairs of some views go into another
//! POST /judge, /outputs      the suite, or a program, on the view to judge on
//! ```

mod below;
mod change;
mod judge;
mod laid;
mod view;

use std::{io::Write, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Error, Result, anyhow};
use axum::{
    Json, Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::{net::TcpListener, sync::Mutex};

use self::laid::Laid;
pub(super) use self::{change::Change, judge::Judgement};
use super::exercise::named;
use crate::{
    machine::{probe::Probe, user::User},
    signals::EndSignals,
};

/// What the ground is made of.
#[derive(Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where exercises are laid out.
    pub directory: PathBuf,
    /// The program that serves and attaches.
    pub blockd: PathBuf,
    /// Our own program.
    pub agent: PathBuf,
    /// The token's file, for agents.
    pub token_file: Option<PathBuf>,
    /// What callers must send.
    pub token: Option<String>,
    /// Who runs codex and the suites.
    pub user: User,
}

#[derive(Debug)]
struct Ground {
    options: Options,
    laid: Mutex<Option<Laid>>,
}

type Shared = State<Arc<Ground>>;

/// A sentence for the one who tries us out.
struct Failure(Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let told = format!("{:#}\n", self.0);
        (StatusCode::INTERNAL_SERVER_ERROR, told).into_response()
    }
}

type Answer<T> = std::result::Result<Json<T>, Failure>;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// A sentence for the person who started it.
pub async fn ground(options: Options) -> Result<()> {
    tokio::fs::create_dir_all(&options.directory).await?;
    view::clear_left_over(&options).await;
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("--listen {}", options.listen))?;
    let mut out = std::io::stdout();
    writeln!(out, "exercises at http://{}", listener.local_addr()?)?;
    out.flush()?;
    let ground = Arc::new(Ground {
        options,
        laid: Mutex::default(),
    });
    let mut signals = EndSignals::listen()?;
    let served = axum::serve(listener, router(Arc::clone(&ground)))
        .with_graceful_shutdown(async move { signals.received().await })
        .await;
    clear(&ground).await?;
    Ok(served?)
}

fn router(ground: Arc<Ground>) -> Router {
    Router::new()
        .route("/probe", get(probe))
        .route("/exercise", put(lay_out).delete(take_away))
        .route("/change", post(change))
        .route("/agents", post(agents))
        .route("/hand", post(hand))
        .route("/judge", post(judge))
        .route("/outputs", post(outputs))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&ground),
            with_token,
        ))
        .with_state(ground)
}

async fn with_token(State(ground): Shared, request: Request, next: Next) -> Response {
    let given = request.headers().get("authorization");
    let given = given.map_or(&b""[..], |value| value.as_bytes());
    let Some(token) = &ground.options.token else {
        return next.run(request).await;
    };
    if bool::from(format!("Bearer {token}").as_bytes().ct_eq(given)) {
        return next.run(request).await;
    }
    let told = "a token is needed: Authorization: Bearer TOKEN\n";
    (StatusCode::UNAUTHORIZED, told).into_response()
}

async fn probe(State(ground): Shared) -> Json<Probe> {
    Json(Probe::take(&ground.options.directory).await)
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
}

async fn lay_out(State(ground): Shared, Json(wanted): Json<Wanted>) -> Answer<Value> {
    let exercise = named(&wanted.name);
    let exercise = exercise.ok_or_else(|| anyhow!("there is no exercise {}", wanted.name))?;
    clear(&ground).await?;
    let mut laid = ground.laid.lock().await;
    let new = laid.insert(Laid::new(&ground.options, exercise).await?);
    new.attach().await?;
    Ok(Json(json!(new.views)))
}

async fn take_away(State(ground): Shared) -> Answer<Value> {
    clear(&ground).await?;
    Ok(Json(Value::Null))
}

async fn clear(ground: &Ground) -> Result<()> {
    match ground.laid.lock().await.take() {
        Some(laid) => laid.take_away().await,
        None => Ok(()),
    }
}

/// What is asked of an exercise that is laid out.
macro_rules! laid {
    ($ground:ident) => {
        $ground
            .laid
            .lock()
            .await
            .as_mut()
            .context("no exercise is laid out")?
    };
}

async fn change(State(ground): Shared) -> Answer<Change> {
    Ok(Json(laid!(ground).change().await?))
}

#[derive(Deserialize)]
struct Part {
    part: usize,
}

/// Where an agent serves.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) port: u16,
}

async fn agents(State(ground): Shared, Json(asked): Json<Part>) -> Answer<Started> {
    let port = laid!(ground).agent(asked.part).await?;
    Ok(Json(Started { port }))
}

#[derive(Deserialize)]
struct Hand {
    to: usize,
    from: Vec<usize>,
}

async fn hand(State(ground): Shared, Json(asked): Json<Hand>) -> Answer<Value> {
    laid!(ground).hand(asked.to, &asked.from)?;
    Ok(Json(Value::Null))
}

#[derive(Deserialize)]
struct Parts {
    parts: Vec<usize>,
}

async fn judge(State(ground): Shared, Json(asked): Json<Parts>) -> Answer<Judgement> {
    Ok(Json(laid!(ground).judge(&asked.parts).await?))
}

#[derive(Deserialize)]
struct Outputs {
    parts: Vec<usize>,
    program: String,
    inputs: Vec<String>,
}

async fn outputs(State(ground): Shared, Json(asked): Json<Outputs>) -> Answer<Vec<String>> {
    let Outputs {
        parts,
        program,
        inputs,
    } = &asked;
    Ok(Json(laid!(ground).outputs(parts, program, inputs).await?))
}
