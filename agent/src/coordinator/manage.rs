//! `/machines`: the operations on machines, over HTTP.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post},
};
use serde::Deserialize;

use super::{
    app::App,
    spec::{AgentSpec, Asker},
};
use crate::{
    fly::{self, Error, Filter, Machine, MachineId, Size, State as MachineState},
    mode::Mode,
};

type Shared = State<Arc<App>>;

/// `?force=true`: do it even while codex is working.
#[derive(Debug, Deserialize)]
struct Force {
    #[serde(default)]
    force: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restart {
    mode: Option<Mode>,
}

/// An operation on one machine.
#[derive(Debug)]
enum Action {
    Start,
    Stop,
    Suspend,
    Restart(Option<Mode>),
    Resize(Size),
    Release,
    Destroy,
}

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/machines", get(list).post(create))
        .route("/machines/{id}", get(show).delete(destroy))
        .route("/machines/{id}/{action}", post(act))
}

async fn list(State(app): Shared) -> Result<Json<Vec<Machine>>, Error> {
    let machines = app.client.list(&Filter::default(), app.deadline()).await?;
    Ok(Json(machines))
}

async fn show(State(app): Shared, Path(id): Path<MachineId>) -> Result<Json<Machine>, Error> {
    Ok(Json(app.client.get(&id, app.deadline()).await?))
}

/// Picks or creates a machine, and wakes it.
async fn create(
    State(app): Shared,
    Json(mut spec): Json<AgentSpec>,
) -> Result<Json<Machine>, Error> {
    spec.check()?;
    spec.asker = Asker::Manager;
    let agent = app.ready_for(&spec).await?;
    let machine = app.client.get(&agent.machine, app.deadline()).await?;
    Ok(Json(machine))
}

async fn destroy(
    State(app): Shared,
    Path(id): Path<MachineId>,
    Query(force): Query<Force>,
) -> Result<Json<Machine>, Error> {
    app.run(id, Action::Destroy, force.force).await
}

async fn act(
    State(app): Shared,
    Path((id, action)): Path<(MachineId, String)>,
    Query(force): Query<Force>,
    body: bytes::Bytes,
) -> Result<Json<Machine>, Error> {
    app.run(id, parse(&action, &body)?, force.force).await
}

fn parse(action: &str, body: &[u8]) -> Result<Action, Error> {
    Ok(match action {
        "start" => Action::Start,
        "stop" => Action::Stop,
        "suspend" => Action::Suspend,
        "release" => Action::Release,
        "restart" => Action::Restart(json::<Restart>(body)?.mode),
        "resize" => Action::Resize(json(body)?),
        other => {
            return Err(Error::NotFound(format!(
                "action {other}: start, stop, suspend, restart, resize or release"
            )));
        }
    })
}

/// An empty body stands for an object without fields.
fn json<T: Default + for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Error> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| Error::Invalid(error.to_string()))
}

impl App {
    /// Runs an operation to its end, even when the caller goes away: a change must
    /// not stop half way.
    async fn run(
        self: Arc<Self>,
        id: MachineId,
        action: Action,
        force: bool,
    ) -> Result<Json<Machine>, Error> {
        let work = tokio::spawn(async move { self.act(&id, action, force).await });
        match work.await {
            Ok(outcome) => outcome.map(Json),
            Err(error) => Err(Error::Internal(error.to_string())),
        }
    }

    async fn act(&self, id: &MachineId, action: Action, force: bool) -> Result<Machine, Error> {
        let deadline = self.deadline();
        let client = &self.client;
        if !matches!(action, Action::Start) {
            self.refuse_if_busy(id, force).await?;
            self.waker.invalidate(id);
        }
        match action {
            Action::Start => self.started(id).await,
            Action::Stop => fly::stop(client, id, None, deadline).await,
            Action::Suspend => fly::suspend(client, id, deadline).await,
            Action::Release => self.picker.release(id, deadline).await,
            Action::Restart(None) => {
                fly::stop(client, id, None, deadline).await?;
                self.started(id).await
            }
            Action::Restart(Some(mode)) => {
                fly::change(client, id, |config| config.set_mode(mode), deadline).await?;
                self.started(id).await
            }
            Action::Resize(size) => self.resize(id, &size).await,
            Action::Destroy => fly::destroy(client, id, deadline).await,
        }
    }

    /// Wakes the machine, or the one in its place, and shows it.
    async fn started(&self, id: &MachineId) -> Result<Machine, Error> {
        let agent = self.ready(id).await?;
        self.client.get(&agent.machine, self.deadline()).await
    }

    async fn resize(&self, id: &MachineId, size: &Size) -> Result<Machine, Error> {
        let changed = fly::resize(&self.client, id, size, self.deadline()).await?;
        if changed.state == MachineState::Started {
            return self.started(id).await;
        }
        Ok(changed)
    }

    /// Refuses to interrupt codex at work, unless forced.
    async fn refuse_if_busy(&self, id: &MachineId, force: bool) -> Result<(), Error> {
        if force {
            return Ok(());
        }
        let machine = self.client.get(id, self.deadline()).await?;
        if machine.state != MachineState::Started {
            return Ok(());
        }
        let agent = self.agents.address(&machine)?;
        match self.agents.status(&agent).await {
            Ok(status) if status.is_busy() => Err(Error::Busy(id.clone())),
            // An agent that does not answer reports no work.
            _ => Ok(()),
        }
    }
}
