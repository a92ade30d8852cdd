//! The Machines API.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Destroyed, HopelessWait, Record, Shared, World, lifecycle};

type Asked = BTreeMap<String, String>;
type Answer = Result<Value, (u16, String)>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/apps/{app}/machines", any(all))
        .route("/v1/apps/{app}/machines/{id}", any(one))
        .route("/v1/apps/{app}/machines/{id}/{action}", any(act))
        .route("/v1/apps/{app}/machines/{id}/metadata/{key}", any(metadata))
        .with_state(shared)
}

fn refuse(status: u16, message: &str) -> Answer {
    Err((status, message.to_owned()))
}

impl Shared {
    /// Waits for as long as calls of this action are held.
    async fn held(&self, action: &str) {
        if self.read().held != Some(action) {
            return;
        }
        self.world().waiting += 1;
        self.until(|| self.read().held != Some(action)).await;
        self.world().waiting -= 1;
    }
}

/// Records the call, and answers.
fn answer(shared: &Shared, action: &str, id: &str, outcome: Answer) -> Response {
    let status = outcome.as_ref().map_or_else(|(status, _)| *status, |_| 200);
    let call = (action.to_owned(), id.to_owned(), status);
    shared.world().calls.push(call);
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err((status, message)) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, Json(json!({ "error": message }))).into_response()
        }
    }
}

/// One call per second for each action and machine, bursts of three; more for `get`.
fn is_too_much(world: &mut World, action: &str, id: &str) -> bool {
    if world.storm > 0 {
        world.storm -= 1;
        return true;
    }
    let (window, most) = match action {
        "get" => (Duration::from_secs(1), 15),
        // One more, for calls that a busy machine delivers late.
        _ => (Duration::from_secs(1), 4),
    };
    let times = world.rates.entry(format!("{action} {id}")).or_default();
    times.retain(|time| time.elapsed() < window);
    times.push(Instant::now());
    times.len() > most
}

/// Refuses what is leased by somebody else.
fn leased(machine: &Record, headers: &HeaderMap) -> Result<(), (u16, String)> {
    let Some((nonce, until)) = &machine.lease else {
        return Ok(());
    };
    let given = headers.get("fly-machine-lease-nonce");
    if *until < Instant::now() || given.is_some_and(|given| given == nonce.as_str()) {
        return Ok(());
    }
    let message = format!(
        "lease currently held by another@user, machine {}",
        machine.id
    );
    Err((409, message))
}

async fn all(
    State(shared): State<Arc<Shared>>,
    Path(app): Path<String>,
    Query(asked): Query<Asked>,
    method: Method,
    body: Bytes,
) -> Response {
    let action = if method == Method::GET {
        "list"
    } else {
        "create"
    };
    let mut id = String::new();
    shared.held(action).await;
    let outcome = {
        let mut world = shared.world();
        if is_too_much(&mut world, action, &app) {
            refuse(429, "rate limit exceeded")
        } else if method == Method::GET {
            Ok(listed(&shared, &world, &app, &asked))
        } else {
            let made = create(&shared, &mut world, &app, &body);
            id = made
                .as_ref()
                .map_or("", |made| made["id"].as_str().unwrap())
                .to_owned();
            made
        }
    };
    if outcome
        .as_ref()
        .is_ok_and(|made| made["state"] == "starting")
    {
        lifecycle::start(&shared, &id);
    }
    answer(&shared, action, &id, outcome)
}

fn listed(shared: &Shared, world: &World, app: &str, asked: &Asked) -> Value {
    let exists = |machine: &&Record| machine.app == app && machine.state != "destroyed";
    let own = world.machines.values().filter(exists);
    let fits = |machine: &&Record| {
        let mut wishes = asked
            .iter()
            .filter_map(|(key, value)| key.strip_prefix("metadata.").map(|key| (key, value)));
        wishes.all(|(key, value)| machine.config["metadata"][key] == value.as_str())
    };
    own.filter(fits)
        .map(|machine| machine.shown(&shared.switches))
        .collect()
}

fn create(shared: &Shared, world: &mut World, app: &str, body: &[u8]) -> Answer {
    let body: Value = serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?;
    let name = body["name"].as_str().unwrap_or_default();
    let mut known = world.machines.values();
    let has_name = |machine: &&Record| machine.app == app && machine.name == name;
    if let Some(known) = known.find(|machine| has_name(machine) && machine.state != "destroyed") {
        let message = format!(
            "already_exists: unique machine name violation, machine ID {} already exists with name \"{name}\"",
            known.id
        );
        return Err((409, message));
    }
    if let Some(super::Fault::Capacity(status, message)) = world.next_faults.first().copied() {
        world.next_faults.remove(0);
        return refuse(status, message);
    }
    let id = shared.make(world, app, name, body["config"].clone());
    let machine = world.machines.get_mut(&id).unwrap();
    machine.cordoned = body["skip_service_registration"] == true;
    machine.state = if body["skip_launch"] == true {
        "created"
    } else {
        "starting"
    };
    Ok(machine.shown(&shared.switches))
}

async fn one(
    State(shared): State<Arc<Shared>>,
    Path((app, id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let action = match method {
        Method::GET => "get",
        Method::DELETE => "destroy",
        _ => "update",
    };
    shared.held(action).await;
    let outcome = {
        let mut world = shared.world();
        if is_too_much(&mut world, action, &id) {
            refuse(429, "rate limit exceeded")
        } else {
            changed(&shared, &mut world, (&app, &id), action, (&headers, &body))
        }
    };
    answer(&shared, action, &id, outcome)
}

fn changed(
    shared: &Shared,
    world: &mut World,
    (app, id): (&str, &str),
    action: &str,
    (headers, body): (&HeaderMap, &[u8]),
) -> Answer {
    let known = world
        .machines
        .get_mut(id)
        .filter(|machine| machine.app == app);
    let Some(machine) = known else {
        return refuse(404, "machine not found");
    };
    if action == "get" {
        return Ok(machine.shown(&shared.switches));
    }
    leased(machine, headers)?;
    if action == "destroy" {
        lifecycle::end(machine);
        machine.state = "destroyed";
        machine.destroyed_by = Some("user");
        if shared.switches.destroyed == Destroyed::Forgotten {
            world.machines.remove(id);
        }
        return Ok(json!({ "ok": true }));
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| (400, error.to_string()))?;
    let version = body["current_version"].as_str();
    if version.is_some_and(|version| version != machine.instance()) {
        return refuse(
            412,
            "failed_precondition: machine version does not match current_version",
        );
    }
    if machine.state == "started" || body["skip_launch"] != true {
        return refuse(
            400,
            "this double only knows updates of machines that stay stopped",
        );
    }
    machine.config = body["config"].clone();
    machine.version += 1;
    Ok(machine.shown(&shared.switches))
}

async fn act(
    State(shared): State<Arc<Shared>>,
    Path((app, id, action)): Path<(String, String, String)>,
    Query(asked): Query<Asked>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let action = if action == "lease" && method == Method::DELETE {
        "release"
    } else {
        &action
    };
    shared.held(action).await;
    let outcome = {
        let mut world = shared.world();
        if is_too_much(&mut world, action, &id) {
            refuse(429, "rate limit exceeded")
        } else {
            match world
                .machines
                .get_mut(&id)
                .filter(|machine| machine.app == app)
            {
                Some(machine) => acted(machine, action, &asked, &headers),
                None => refuse(404, "machine not found"),
            }
        }
    };
    let outcome = match (action, outcome) {
        ("wait", Ok(_)) => wait(&shared, &id, &asked).await,
        (_, outcome) => outcome,
    };
    if outcome.is_ok() {
        match action {
            "start" => lifecycle::start(&shared, &id),
            "stop" => lifecycle::stop(&shared, &id, "stopped"),
            "suspend" => lifecycle::stop(&shared, &id, "suspended"),
            _ => {}
        }
    }
    answer(&shared, action, &id, outcome)
}

fn acted(machine: &mut Record, action: &str, asked: &Asked, headers: &HeaderMap) -> Answer {
    if action == "wait" {
        return Ok(Value::Null);
    }
    leased(machine, headers)?;
    match action {
        "start" => lifecycle::begin_start(machine)?,
        "stop" if machine.state == "stopped" => {}
        "stop" => machine.state = "stopping",
        "suspend" if machine.state != "started" => {
            return refuse(412, "failed_precondition: machine is not started");
        }
        "suspend" => machine.state = "suspending",
        "cordon" => machine.cordoned = true,
        "uncordon" => machine.cordoned = false,
        "release" => machine.lease = None,
        "lease" => {
            let ttl = asked.get("ttl").map_or(30, |ttl| ttl.parse().unwrap());
            let until = Instant::now() + Duration::from_secs(ttl);
            let nonce = format!("n{:x}", rand::random::<u64>());
            let (nonce, _) = machine
                .lease
                .take()
                .filter(|(_, until)| *until > Instant::now())
                .unwrap_or((nonce, until));
            machine.lease = Some((nonce.clone(), until));
            return Ok(json!({ "status": "success", "data": { "nonce": nonce } }));
        }
        _ => return refuse(404, "no such action"),
    }
    Ok(json!({ "ok": true }))
}

async fn wait(shared: &Shared, id: &str, asked: &Asked) -> Answer {
    let state = asked.get("state").map_or("started", String::as_str);
    if state == "stopped" && !asked.contains_key("instance_id") {
        return refuse(
            400,
            "invalid_argument: instance_id is required to wait for stopped",
        );
    }
    let seconds: u64 = asked
        .get("timeout")
        .map_or(60, |timeout| timeout.parse().unwrap());
    if seconds > 60 {
        return refuse(400, "invalid_argument: timeout must be at most 60");
    }
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let is_now = |world: &World| {
        world
            .machines
            .get(id)
            .map_or("destroyed", |machine| machine.state)
    };
    let is_in_vain = |now: &str| {
        shared.switches.hopeless_wait == HopelessWait::Ends
            && matches!(now, "stopped" | "failed" | "launch_failed" | "destroyed")
    };
    shared
        .until_deadline(deadline, |world| {
            is_now(world) == state || is_in_vain(is_now(world))
        })
        .await;
    match is_now(&shared.read()) {
        now if now == state => Ok(json!({ "ok": true })),
        now if is_in_vain(now) => refuse(412, "failed_precondition: machine is stopped"),
        _ => refuse(408, "deadline_exceeded: timeout reached"),
    }
}

async fn metadata(
    State(shared): State<Arc<Shared>>,
    Path((_, id, key)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = {
        let mut world = shared.world();
        match world.machines.get_mut(&id) {
            None => refuse(404, "machine not found"),
            Some(machine) if machine.state == "destroyed" => {
                refuse(412, "failed_precondition: machine is destroyed")
            }
            Some(machine) => leased(machine, &headers).map(|()| {
                let body: Value = serde_json::from_slice(&body).unwrap();
                machine.config["metadata"][&key] = body["value"].clone();
                json!({})
            }),
        }
    };
    answer(&shared, "metadata", &id, outcome)
}
