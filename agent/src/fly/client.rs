//! The calls that we make. See <https://fly.io/docs/machines/api/>.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reqwest::{Method, redirect::Policy};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;

use super::{
    error::Error,
    http::{Call, causes},
    model::{Config, Machine, MachineId, State},
    rates::Rates,
};

/// The API waits no longer than that.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Where the API is, for which app, and how to be let in.
#[derive(Clone)]
pub struct Endpoint {
    /// Like <http://_api.internal:4280>.
    pub url: String,
    /// The app that the machines are of.
    pub app: String,
    /// A token; the machine's own socket needs none.
    pub token: Option<String>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token.
        write!(f, "{} of {}", self.app, self.url)
    }
}

/// The machines of one app.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    endpoint: Endpoint,
    rates: Rates,
    slice: Duration,
}

/// Which machines are listed.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those with all of these metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A machine to be made.
#[derive(Debug, Clone, Serialize)]
pub struct Create {
    /// Unique in the app: a second one is refused.
    pub name: String,
    /// Where; near us when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// What it is made of.
    pub config: Config,
    /// Made, but not started.
    pub skip_launch: bool,
    /// The proxy sends it nothing.
    pub skip_service_registration: bool,
}

#[derive(Deserialize)]
struct Leased {
    data: LeaseData,
}

#[derive(Deserialize)]
struct LeaseData {
    nonce: String,
}

impl Client {
    /// A client that speaks of each change within `slice`: the API's waits do
    /// not end when a machine dies, so they are cut short and it is looked at.
    ///
    /// # Errors
    ///
    /// When there is no TLS, or the token cannot be sent.
    pub fn new(endpoint: Endpoint, slice: Duration) -> Result<Self, Error> {
        // Who is sent elsewhere would send the token there.
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| Error::Invalid(causes(&error)))?;
        Ok(Self(Arc::new(Inner {
            http,
            endpoint,
            rates: Rates::default(),
            slice,
        })))
    }

    pub(super) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    pub(super) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// The app that the machines are of.
    pub fn app(&self) -> &str {
        &self.0.endpoint.app
    }

    pub(super) fn url(&self, path: &str) -> String {
        let Endpoint { url, app, .. } = &self.0.endpoint;
        format!("{}/v1/apps/{app}/machines{path}", url.trim_end_matches('/'))
    }

    /// Macaroons name their scheme themselves.
    pub(super) fn authorization(&self) -> Option<String> {
        let token = self.0.endpoint.token.as_deref()?;
        let is_macaroon = token.starts_with("fm1") || token.starts_with("fm2_");
        Some(match token.split_once(' ') {
            Some(_) => token.to_owned(),
            None if is_macaroon => format!("FlyV1 {token}"),
            None => format!("Bearer {token}"),
        })
    }

    /// All machines, but those that are gone.
    ///
    /// # Errors
    ///
    /// See [`Error`], as with all calls.
    pub async fn list(&self, filter: &Filter, deadline: Instant) -> Result<Vec<Machine>, Error> {
        let doing = format!("the list of app {}", self.app());
        let mut call = Call::new(Method::GET, "list", String::new(), doing);
        for (key, value) in &filter.metadata {
            call = call.query(format!("metadata.{key}"), value);
        }
        let machines: Vec<Machine> = self.call(call, deadline).await?;
        let is_there = |machine: &Machine| {
            !matches!(
                machine.state,
                State::Destroyed | State::Destroying | State::Replaced | State::Migrated
            )
        };
        Ok(machines.into_iter().filter(is_there).collect())
    }

    /// A machine as it is now.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn get(&self, id: &MachineId, deadline: Instant) -> Result<Machine, Error> {
        let call = on(id, Method::GET, "get", "", "the state");
        self.call(call, deadline).await
    }

    /// Makes a machine.
    ///
    /// # Errors
    ///
    /// [`Error::NameTaken`] when there is one of that name. See [`Error`].
    pub async fn create(&self, create: &Create, deadline: Instant) -> Result<Machine, Error> {
        let doing = format!("the creation of {}", create.name);
        let call = Call::new(Method::POST, "create", String::new(), doing);
        let body = serde_json::to_value(create).map_err(|error| Error::Invalid(error.to_string()));
        let made = self.call(call.body(body?), deadline).await;
        made.map_err(|error| match error {
            Error::NameTaken(_) => Error::NameTaken(create.name.clone()),
            other => other,
        })
    }

    /// Gives a machine that is stopped a new configuration, if it is still the
    /// one that was read. It stays stopped.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when somebody was faster. See [`Error`].
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
        let call = on(&read.id, Method::POST, "update", "", "an update");
        self.call(call.body(body).under(Some(nonce)), deadline)
            .await
    }

    /// Starts it, or lets it go on.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn launch(
        &self,
        id: &MachineId,
        nonce: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let call = on(id, Method::POST, "start", "/start", "the start");
        self.done(call.under(nonce), deadline).await
    }

    /// Tells it to end.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn halt(
        &self,
        id: &MachineId,
        nonce: Option<&str>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let call = on(id, Method::POST, "stop", "/stop", "the stop");
        self.done(call.body(json!({})).under(nonce), deadline).await
    }

    /// Keeps its memory and stops it.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn suspend(&self, id: &MachineId, deadline: Instant) -> Result<(), Error> {
        let call = on(id, Method::POST, "suspend", "/suspend", "the suspension");
        self.done(call, deadline).await
    }

    /// Has the proxy send it nothing more.
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
        let call = on(id, Method::POST, "cordon", "/cordon", "the cordon");
        self.done(call.under(Some(nonce)), deadline).await
    }

    /// Has the proxy send it requests again.
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
        let call = on(
            id,
            Method::POST,
            "uncordon",
            "/uncordon",
            "the cordon's end",
        );
        self.done(call.under(Some(nonce)), deadline).await
    }

    /// Takes it away for good.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn destroy(&self, id: &MachineId, deadline: Instant) -> Result<(), Error> {
        let call = on(id, Method::DELETE, "destroy", "", "the destruction");
        self.done(call.query("force", "true"), deadline).await
    }

    /// Sets what can be asked for. It makes no new version.
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
        let call = on(id, Method::POST, "metadata", &path, "the metadata");
        let call = call.body(json!({ "value": value })).under(nonce);
        self.done(call, deadline).await
    }

    /// Waits for a state, for one slice. Whether it is in it, only [`Self::get`] tells.
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
        let left = deadline.saturating_duration_since(Instant::now());
        let seconds = self.0.slice.min(LONGEST_WAIT).min(left).as_secs().max(1);
        let mut call = on(&machine.id, Method::GET, "wait", "/wait", "the wait");
        call = call.query("timeout", seconds.to_string());
        call = call.query("state", state.to_string());
        // The API asks for it where a version has to end.
        if state == State::Stopped && !machine.instance_id.is_empty() {
            call = call.query("instance_id", &machine.instance_id);
        }
        match self.is_so(call, deadline).await {
            // It can no longer get there: whoever looks at it will see why.
            Err(Error::Conflict { .. }) => Ok(false),
            outcome => outcome,
        }
    }

    /// Takes the lease of a machine, or makes ours last.
    pub(super) async fn lease_nonce(
        &self,
        id: &MachineId,
        ttl: Duration,
        nonce: Option<&str>,
        deadline: Instant,
    ) -> Result<String, Error> {
        let call = on(id, Method::POST, "lease", "/lease", "the lease");
        let call = call.query("ttl", ttl.as_secs().to_string()).body(json!({
            "ttl": ttl.as_secs(),
            "description": "agent",
        }));
        let leased: Leased = self.call(call.under(nonce), deadline).await?;
        Ok(leased.data.nonce)
    }

    pub(super) async fn release(
        &self,
        id: &MachineId,
        nonce: &str,
        deadline: Instant,
    ) -> Result<(), Error> {
        let call = on(id, Method::DELETE, "release", "/lease", "the lease's end");
        self.done(call.under(Some(nonce)), deadline).await
    }
}

fn on<'a>(
    id: &MachineId,
    method: Method,
    action: &'static str,
    below: &str,
    doing: &str,
) -> Call<'a> {
    let doing = format!("{doing} of machine {id}");
    Call::new(method, action, format!("/{id}{below}"), doing)
}
