//! `/promote`: a machine of the gate app that has passed its smoke test says
//! so, and who it is; its image becomes the one that agents are made of.
//!
//! What is believed is the platform's word alone: whose token it is, and
//! which image the API says that this machine runs. A token that is not newer
//! than the one that promoted the present image counts no more: whoever has
//! seen one cannot bring an old image back. Then one agent is made of the image
//! and must come up. Only then does the template change, and with it, at the
//! sweep that follows, every machine that is stopped, and every one that runs
//! as soon as it has nothing to do (`roll`). If anything fails, nothing has
//! changed.

mod identity;

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use self::identity::{Identity, IdentityError, Issuer};
use super::{
    App,
    agents::Agents,
    flights::Flights,
    metadata::{EXPIRES, PROMOTED, ROLE, now, time},
    routes::refusal,
};
use crate::cli::coordinator::Coordinator;
use crate::fly::{self, Client, Config, Create, Error, Machine, State as MachineState};

/// How long a machine that tries an image is needed at most.
const TRIAL: Duration = Duration::from_secs(15 * 60);

/// What a candidate brings.
#[derive(Debug, Deserialize)]
pub(super) struct Candidate {
    /// Made by the platform, for the audience `agent-promotion`.
    token: String,
    /// What `agent smoke` said.
    verdict: Verdict,
}

/// What matters of it here.
#[derive(Debug, Deserialize)]
struct Verdict {
    passed: bool,
    #[serde(default)]
    digest: Option<String>,
}

/// What has changed.
#[derive(Debug, Clone, Serialize)]
struct Promoted {
    image: String,
    before: String,
}

/// Promotes images.
#[derive(Debug)]
pub(super) struct Promoter {
    issuer: Option<Issuer>,
    gate: Client,
    agents: Arc<Agents>,
    flights: Flights<String, Result<Promoted, Error>>,
    /// That there is another image from now on.
    pub(super) promoted: Notify,
}

impl Promoter {
    pub(super) fn new(args: &Coordinator, agents: Arc<Agents>) -> anyhow::Result<Self> {
        let mut api = args.api.clone();
        api.app.clone_from(&args.gate);
        Ok(Self {
            issuer: args.issuer.as_deref().map(Issuer::new).transpose()?,
            gate: api.client()?,
            agents,
            flights: Flights::default(),
            promoted: Notify::new(),
        })
    }
}

/// The token is the leave: no other is asked for.
pub(super) async fn promote(
    State(app): State<Arc<App>>,
    Json(candidate): Json<Candidate>,
) -> Response {
    let identity = match app.promoter.identify(&candidate).await {
        Ok(identity) => identity,
        Err(told) => {
            warn!(told, "a promotion is refused");
            let told = Json(json!({ "error": told }));
            return (StatusCode::FORBIDDEN, told).into_response();
        }
    };
    let digest = identity.image_digest.clone();
    let joined = app.promoter.flights.join(&digest, || {
        let app = Arc::clone(&app);
        async move { app.promote(&identity).await }
    });
    match joined.await {
        Some(Ok(promoted)) => Json(promoted).into_response(),
        Some(Err(error)) => refusal(&error),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Promoter {
    async fn identify(&self, candidate: &Candidate) -> Result<Identity, String> {
        let Some(issuer) = &self.issuer else {
            return Err("this coordinator promotes nothing: see --issuer".to_owned());
        };
        let identity = issuer.verify(&candidate.token).await;
        let identity = identity.map_err(|error: IdentityError| error.to_string())?;
        if identity.app_name != self.gate.app() {
            return Err(format!(
                "machines of {} promote nothing: those of {} do",
                identity.app_name,
                self.gate.app()
            ));
        }
        if !candidate.verdict.passed {
            return Err("its smoke test did not pass".to_owned());
        }
        let tested = candidate.verdict.digest.as_ref();
        if tested.is_some_and(|digest| *digest != identity.image_digest) {
            return Err("its verdict is about another image".to_owned());
        }
        Ok(identity)
    }
}

impl App {
    async fn promote(&self, identity: &Identity) -> Result<Promoted, Error> {
        let image = self.candidate_image(identity).await?;
        let template = self.picker.template(self.deadline()).await?;
        let before = template.config.image.clone();
        if before == image {
            return Ok(Promoted { image, before });
        }
        if time(&template, PROMOTED) >= Some(identity.iat) {
            return Err(outdated(&image));
        }
        self.try_image(&template, &image, identity).await?;
        self.set_image(&template, &image, identity.iat).await?;
        info!(image, before, "promoted");
        self.promoter.promoted.notify_one();
        Ok(Promoted { image, before })
    }

    /// Unless another coordinator was faster, with a token that is newer.
    async fn set_image(&self, template: &Machine, image: &str, made: u64) -> Result<(), Error> {
        let edit = |config: &mut Config| {
            let promoted = config.metadata.get(PROMOTED);
            if promoted.and_then(|when| when.parse().ok()) < Some(made) {
                image.clone_into(&mut config.image);
                let when = made.to_string();
                config.metadata.insert(PROMOTED.to_owned(), when);
            }
        };
        fly::change_stopped(&self.client, &template.id, edit, self.deadline()).await?;
        let after = self.client.get(&template.id, self.deadline()).await?;
        if after.config.image == image {
            return Ok(());
        }
        if time(&after, PROMOTED) >= Some(made) {
            return Err(outdated(image));
        }
        Err(Error::Conflict {
            doing: format!("the promotion of {image}"),
            told: format!("machine {} is {} and must not run", after.name, after.state),
        })
    }

    /// The image as the API has it, for a machine that is there.
    async fn candidate_image(&self, identity: &Identity) -> Result<String, Error> {
        let machine = self
            .promoter
            .gate
            .get(&identity.machine_id, self.deadline())
            .await?;
        let image = machine
            .image_ref
            .filter(|image| image.digest == identity.image_digest);
        let image = image.ok_or_else(|| {
            Error::Invalid(format!(
                "machine {} does not run {}",
                identity.machine_id, identity.image_digest
            ))
        })?;
        Ok(image.pinned())
    }

    /// Makes one agent of an image, which must come up, and takes it away again.
    async fn try_image(
        &self,
        template: &Machine,
        image: &str,
        identity: &Identity,
    ) -> Result<(), Error> {
        let mut config = template.config.clone();
        image.clone_into(&mut config.image);
        config.metadata.remove(PROMOTED);
        let expires = (now() + TRIAL.as_secs()).to_string();
        let metadata = [(ROLE, "trial".to_owned()), (EXPIRES, expires)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        config.metadata.extend(metadata);
        let create = Create {
            // Of each candidate its own: one that was killed is in nobody's way.
            name: format!("trial-{}", identity.machine_id),
            region: Some(template.region.clone()).filter(|region| !region.is_empty()),
            config,
            skip_launch: false,
            skip_service_registration: true,
        };
        let trial = self.client.create(&create, self.deadline()).await?;
        let came_up = self.comes_up(&trial).await;
        let gone = self.client.destroy(&trial.id, self.deadline()).await;
        if let Err(error) = gone {
            warn!(machine = %trial.id, %error, "a trial is left over: a sweep takes it away");
        }
        came_up
    }

    async fn comes_up(&self, trial: &Machine) -> Result<(), Error> {
        let deadline = self.deadline();
        let started = fly::start(&self.client, &trial.id, None, deadline).await?;
        let place = self.promoter.agents.place(&started)?;
        loop {
            let Err(last) = self.promoter.agents.is_ready(&place).await else {
                return Ok(());
            };
            let now = self.client.get(&trial.id, deadline).await?;
            let machine = trial.id.clone();
            match now.state {
                MachineState::Started if Instant::now() < deadline => {}
                MachineState::Started => return Err(Error::NotReady { machine, last }),
                state => {
                    let times = 1;
                    return Err(Error::Died {
                        machine,
                        times,
                        state,
                    });
                }
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Why a token that was good once is not any more.
fn outdated(image: &str) -> Error {
    Error::Conflict {
        doing: format!("the promotion of {image}"),
        told: "its token is not newer than the one that promoted the present image".to_owned(),
    }
}
