//! `/machines`: the lifecycle, over HTTP.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;

use super::{App, routes::refusal, wanted::Wanted};
use crate::fly::{self, Error, Filter, Machine, MachineId, Mode, Size, State as MachineState};

/// Whether what runs may be cut.
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

/// What is done to one machine.
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

/// The routes.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/machines", get(list).post(create))
        .route("/machines/{id}", get(show).delete(destroy))
        .route("/machines/{id}/{action}", post(act))
}

async fn list(State(app): State<Arc<App>>) -> Response {
    answer(app.client.list(&Filter::default(), app.deadline()).await)
}

async fn show(State(app): State<Arc<App>>, Path(id): Path<MachineId>) -> Response {
    answer(app.client.get(&id, app.deadline()).await)
}

/// Picks or makes a machine, and wakes it.
async fn create(State(app): State<Arc<App>>, Json(wanted): Json<Wanted>) -> Response {
    let made = async {
        wanted.check()?;
        let id = app.picker.pick(&app.agents, &wanted).await?;
        app.waker.ensure(&id).await?;
        app.client.get(&id, app.deadline()).await
    };
    answer(made.await)
}

async fn destroy(
    State(app): State<Arc<App>>,
    Path(id): Path<MachineId>,
    Query(force): Query<Force>,
) -> Response {
    app.to_the_end(id, Action::Destroy, force.force).await
}

async fn act(
    State(app): State<Arc<App>>,
    Path((id, action)): Path<(MachineId, String)>,
    Query(force): Query<Force>,
    body: bytes::Bytes,
) -> Response {
    match parse(&action, &body) {
        Ok(action) => app.to_the_end(id, action, force.force).await,
        Err(error) => refusal(&error),
    }
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

fn json<T: Default + for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Error> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| Error::Invalid(error.to_string()))
}

fn answer<T: serde::Serialize>(outcome: Result<T, Error>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(error) => refusal(&error),
    }
}

impl App {
    /// Does it, also when the caller goes away: half a change is none.
    async fn to_the_end(self: Arc<Self>, id: MachineId, action: Action, force: bool) -> Response {
        let work = tokio::spawn(async move { self.act(&id, action, force).await });
        match work.await {
            Ok(outcome) => answer(outcome),
            Err(error) => refusal(&Error::Invalid(error.to_string())),
        }
    }

    async fn act(&self, id: &MachineId, action: Action, force: bool) -> Result<Machine, Error> {
        let deadline = self.deadline();
        let client = &self.client;
        if !matches!(action, Action::Start) {
            self.refuse_if_busy(id, force).await?;
            self.waker.doubt(id);
        }
        match action {
            Action::Start => {
                self.waker.ensure(id).await?;
                client.get(id, deadline).await
            }
            Action::Stop => fly::stop(client, id, None, deadline).await,
            Action::Suspend => fly::suspend(client, id, deadline).await,
            Action::Release => self.picker.release(&self.agents, id, deadline).await,
            Action::Restart(None) => {
                fly::stop(client, id, None, deadline).await?;
                self.started(id).await
            }
            Action::Restart(Some(mode)) => {
                fly::change(client, id, |config| mode.set(config), deadline).await?;
                self.started(id).await
            }
            Action::Resize(size) => self.resize(id, &size).await,
            Action::Destroy => {
                let machine = client.get(id, deadline).await?;
                client.destroy(id, deadline).await?;
                let state = MachineState::Destroyed;
                Ok(Machine { state, ..machine })
            }
        }
    }

    async fn started(&self, id: &MachineId) -> Result<Machine, Error> {
        self.waker.ensure(id).await?;
        self.client.get(id, self.deadline()).await
    }

    async fn resize(&self, id: &MachineId, size: &Size) -> Result<Machine, Error> {
        let changed = fly::resize(&self.client, id, size, self.deadline()).await?;
        if changed.state == MachineState::Started {
            return self.started(id).await;
        }
        Ok(changed)
    }

    /// A run that would be cut is not, unless it is meant.
    async fn refuse_if_busy(&self, id: &MachineId, force: bool) -> Result<(), Error> {
        if force {
            return Ok(());
        }
        let machine = self.client.get(id, self.deadline()).await?;
        if machine.state != MachineState::Started {
            return Ok(());
        }
        let place = self.agents.place(&machine)?;
        match self.agents.status(&place).await {
            Ok(status) if status.is_busy() => Err(Error::Busy(id.clone())),
            // An agent that does not answer does no work that could be known of.
            _ => Ok(()),
        }
    }
}
