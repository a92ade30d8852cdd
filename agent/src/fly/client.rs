//! The calls of the Machines API. See <https://fly.io/docs/machines/api/>.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{
    error::Error,
    model::{Config, Machine, MachineId},
    request::Request,
    state::State,
    transport::{Endpoint, Transport},
};

/// The longest wait that the API accepts.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// How long the API is asked to wait at a time. Its waits do not end when a
/// machine dies: so long that may go unnoticed.
const WAIT_SLICE: Duration = Duration::from_secs(3);

/// The machines of one app.
#[derive(Debug, Clone)]
pub struct Client(Arc<Transport>);

/// Which machines are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only machines with all of these metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A machine to be created.
#[derive(Debug, Clone, Serialize)]
pub struct Create {
    /// Unique in the app: a second machine of this name is refused.
    pub name: String,
    /// The region; `None` leaves the choice to the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The configuration.
    pub config: Config,
    /// Do not start the machine.
    pub skip_launch: bool,
    /// Do not register the machine's services: the proxy sends it no requests.
    pub skip_service_registration: bool,
}

#[derive(Deserialize)]
struct LeaseResponse {
    data: LeaseData,
}

#[derive(Deserialize)]
struct LeaseData {
    nonce: String,
}

impl Client {
    /// A client for the machines of an app.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when TLS cannot be set up.
    pub fn new(endpoint: Endpoint) -> Result<Self, Error> {
        Ok(Self(Arc::new(Transport::new(endpoint)?)))
    }

    /// The app that the machines belong to.
    pub fn app(&self) -> &str {
        self.0.app()
    }

    /// All machines that exist and match the filter.
    ///
    /// # Errors
    ///
    /// See [`Error`], as with all calls.
    pub async fn list(&self, filter: &Filter, deadline: Instant) -> Result<Vec<Machine>, Error> {
        let app = format!("app {}", self.app());
        let operation = format!("the list of {app}");
        let mut request = Request::new(Method::GET, "list", String::new(), operation, app);
        for (key, value) in &filter.metadata {
            request = request.query(format!("metadata.{key}"), value);
        }
        let machines: Vec<Machine> = self.0.json(request, deadline).await?;
        let exists = |machine: &Machine| {
            !matches!(
                machine.state,
                State::Destroyed | State::Destroying | State::Replaced | State::Migrated
            )
        };
        Ok(machines.into_iter().filter(exists).collect())
    }

    /// A machine as it is now.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn get(&self, id: &MachineId, deadline: Instant) -> Result<Machine, Error> {
        let request = on(id, Method::GET, "get", "", "the state");
        self.0.json(request, deadline).await
    }

    /// Creates a machine.
    ///
    /// # Errors
    ///
    /// [`Error::NameTaken`] when the app has a machine of that name. See [`Error`].
    pub async fn create(&self, create: &Create, deadline: Instant) -> Result<Machine, Error> {
        let operation = format!("the creation of {}", create.name);
        let app = format!("app {}", self.app());
        let request = Request::new(Method::POST, "create", String::new(), operation, app);
        let body = serde_json::to_value(create).map_err(|error| Error::Invalid(error.to_string()));
        let created = self.0.json(request.body(body?), deadline).await;
        created.map_err(|error| match error {
            Error::NameTaken(_) => Error::NameTaken(create.name.clone()),
            other => other,
        })
    }

    /// Replaces the configuration of a stopped machine, which stays stopped,
    /// unless the machine has changed since `read`.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when it has changed. See [`Error`].
    pub async fn update(
        &self,
        read: &Machine,
        config: &Config,
        nonce: &str,
        deadline: Instant,
    ) -> Result<Machine, Error> {
        let body = json!({
            "config": config,
            "current_version": read.instance_id,
            "skip_launch": true,
        });
        let request = on(&read.id, Method::POST, "update", "", "an update");
        let request = request.body(body).nonce(Some(nonce));
        self.0.json(request, deadline).await
    }

    /// Asks for the start, or the resumption, of a machine.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn request_start(
        &self,
        id: &MachineId,
        nonce: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let request = on(id, Method::POST, "start", "/start", "the start");
        self.0.send(request.nonce(nonce), deadline).await
    }

    /// Asks for the stop of a machine.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn request_stop(
        &self,
        id: &MachineId,
        nonce: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let request = on(id, Method::POST, "stop", "/stop", "the stop");
        let request = request.body(json!({})).nonce(nonce);
        self.0.send(request, deadline).await
    }

    /// Asks for the suspension of a machine: a stop that saves its memory.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn request_suspend(&self, id: &MachineId, deadline: Instant) -> Result<(), Error> {
        let request = on(id, Method::POST, "suspend", "/suspend", "the suspension");
        self.0.send(request, deadline).await
    }

    /// Cordons a machine: the proxy sends it no new requests.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn cordon(
        &self,
        id: &MachineId,
        nonce: &str,
        deadline: Instant,
    ) -> Result<(), Error> {
        let request = on(id, Method::POST, "cordon", "/cordon", "the cordoning");
        self.0.send(request.nonce(Some(nonce)), deadline).await
    }

    /// Uncordons a machine: the proxy sends it requests again.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn uncordon(
        &self,
        id: &MachineId,
        nonce: &str,
        deadline: Instant,
    ) -> Result<(), Error> {
        let request = on(id, Method::POST, "uncordon", "/uncordon", "the uncordoning");
        self.0.send(request.nonce(Some(nonce)), deadline).await
    }

    /// Destroys a machine, whether it runs or not.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn destroy(&self, id: &MachineId, deadline: Instant) -> Result<(), Error> {
        let request = on(id, Method::DELETE, "destroy", "", "the destruction");
        self.0.send(request.query("force", "true"), deadline).await
    }

    /// Sets one of a machine's metadata. The machine's version stays the same.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn set_metadata(
        &self,
        id: &MachineId,
        (key, value): (&str, &str),
        nonce: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let path = format!("/metadata/{key}");
        let request = on(id, Method::POST, "metadata", &path, "the metadata");
        let request = request.body(json!({ "value": value })).nonce(nonce);
        self.0.send(request, deadline).await
    }

    /// Waits for a state, but only for a few seconds: whether it was reached.
    /// What else has become of the machine, only [`Self::get`] says.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn wait(
        &self,
        machine: &Machine,
        state: State,
        deadline: Instant,
    ) -> Result<bool, Error> {
        // A deadline that has passed leaves the shortest wait there is.
        let left = deadline.saturating_duration_since(Instant::now());
        let seconds = WAIT_SLICE.min(MAX_WAIT).min(left).as_secs().max(1);
        let mut request = on(&machine.id, Method::GET, "wait", "/wait", "the wait");
        request = request.query("timeout", seconds.to_string());
        request = request.query("state", state.to_string());
        // Required for `stopped`, which is a state of one version.
        if let (State::Stopped, Some(version)) = (&state, &machine.instance_id) {
            request = request.query("instance_id", version);
        }
        match self.0.poll(request, deadline).await {
            // The machine can no longer reach the state; the caller looks why.
            Err(Error::Conflict { .. }) => Ok(false),
            outcome => outcome,
        }
    }

    /// Takes the lease of a machine, or extends the one with this nonce.
    pub(super) async fn lease_nonce(
        &self,
        id: &MachineId,
        ttl: Duration,
        nonce: Option<&str>,
        deadline: Instant,
    ) -> Result<String, Error> {
        let request = on(id, Method::POST, "lease", "/lease", "the lease");
        let body = json!({ "ttl": ttl.as_secs(), "description": "agent" });
        let request = request.query("ttl", ttl.as_secs().to_string()).body(body);
        let leased: LeaseResponse = self.0.json(request.nonce(nonce), deadline).await?;
        Ok(leased.data.nonce)
    }

    pub(super) async fn release(
        &self,
        id: &MachineId,
        nonce: &str,
        deadline: Instant,
    ) -> Result<(), Error> {
        let request = on(id, Method::DELETE, "release", "/lease", "the lease release");
        self.0.send(request.nonce(Some(nonce)), deadline).await
    }
}

/// A request about one machine.
fn on<'a>(
    id: &MachineId,
    method: Method,
    action: &'static str,
    path: &str,
    operation: &str,
) -> Request<'a> {
    let machine = format!("machine {id}");
    let operation = format!("{operation} of {machine}");
    Request::new(method, action, format!("/{id}{path}"), operation, machine)
}
