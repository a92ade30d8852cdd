//! Promotion: a machine of the gate app that passed its smoke test asks for its
//! image to become the template's, and proves who it is.
//!
//! Only the platform is trusted: its identity token for who asks, and its API for
//! the image that this machine runs. A token that is not newer than the one that
//! promoted the present image is refused, so that an overheard token cannot bring
//! an old image back. Then one trial machine of the image is created, and must
//! become ready. Only then does the template change, and with it, by the sweep
//! that follows, every stopped machine, and every running one as soon as it is
//! idle (`roll`). If any of this fails, nothing has changed.

mod identity;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use self::identity::{Identity, Issuer};
use super::{
    agents::Agents,
    metadata::{EXPIRES, PROMOTED, ROLE, now, time, time_in},
    options::Options,
    picker::Picker,
    single_flight::SingleFlight,
};
use crate::fly::{self, Client, Config, Create, Error, Machine, State};

/// How long a trial machine may exist; a sweep destroys one that is left over.
const TRIAL_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The pause between two requests to a trial's agent that is not ready.
const READY_INTERVAL: Duration = Duration::from_millis(500);

/// The body of a promotion request.
#[derive(Debug, Deserialize)]
pub(super) struct Candidate {
    /// An identity token for the audience `agent-promotion`.
    token: String,
    /// The verdict of `agent smoke`.
    verdict: Verdict,
}

/// What matters here of a verdict.
#[derive(Debug, Deserialize)]
struct Verdict {
    passed: bool,
    /// The digest of the image that was tested, if it was known.
    #[serde(default)]
    digest: Option<String>,
}

/// The outcome of a promotion.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Promoted {
    /// The template's image now.
    image: String,
    /// The template's image before.
    before: String,
}

/// Why an image was not promoted.
#[derive(Debug)]
pub(super) enum PromotionError {
    /// The candidate may not promote it; the reason.
    Refused(String),
    /// It may, but the promotion failed.
    Failed(Error),
}

/// Promotes images.
#[derive(Debug)]
pub(super) struct Promoter {
    issuer: Option<Issuer>,
    gate: Client,
    client: Client,
    agents: Arc<Agents>,
    picker: Arc<Picker>,
    request_timeout: Duration,
    single_flight: SingleFlight<String, Result<Promoted, Error>>,
    /// Notified when the template has a new image.
    pub(super) promoted: Notify,
}

impl Promoter {
    pub(super) fn new(
        options: &Options,
        agents: Arc<Agents>,
        picker: Arc<Picker>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            issuer: options.issuer.as_deref().map(Issuer::new).transpose()?,
            gate: options.gate.clone(),
            client: options.agents.clone(),
            agents,
            picker,
            request_timeout: options.request_timeout,
            single_flight: SingleFlight::default(),
            promoted: Notify::new(),
        })
    }

    /// Promotes the image of a candidate; requests for one image share one promotion.
    pub(super) async fn promote(
        self: &Arc<Self>,
        candidate: Candidate,
    ) -> Result<Promoted, PromotionError> {
        let identity = self.identify(&candidate).await.map_err(|reason| {
            warn!(reason, "a promotion was refused");
            PromotionError::Refused(reason)
        })?;
        let digest = identity.image_digest.clone();
        let joined = self.single_flight.join(&digest, || {
            let promoter = Arc::clone(self);
            async move { promoter.run(&identity).await }
        });
        let panicked = || Error::Internal(format!("the promotion of {digest} panicked"));
        let outcome = joined.await.ok_or_else(panicked);
        outcome
            .and_then(|outcome| outcome)
            .map_err(PromotionError::Failed)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }

    async fn identify(&self, candidate: &Candidate) -> Result<Identity, String> {
        let Some(issuer) = &self.issuer else {
            return Err("this coordinator does not promote images: see --issuer".to_owned());
        };
        let identity = issuer.verify(&candidate.token).await;
        let identity = identity.map_err(|error| error.to_string())?;
        if identity.app_name != self.gate.app() {
            return Err(format!(
                "machines of app {} may not promote images: those of {} may",
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

    async fn run(&self, identity: &Identity) -> Result<Promoted, Error> {
        let image = self.candidate_image(identity).await?;
        let template = self.picker.template(self.deadline()).await?;
        let before = template.config.image.clone();
        if before == image {
            return Ok(Promoted { image, before });
        }
        if time(&template, PROMOTED)? >= Some(identity.iat) {
            return Err(outdated(&image));
        }
        self.try_image(&template, &image, identity).await?;
        self.set_image(&template, &image, identity.iat).await?;
        info!(image, before, "promoted");
        self.promoted.notify_one();
        Ok(Promoted { image, before })
    }

    /// The image that the API says the candidate's machine runs.
    async fn candidate_image(&self, identity: &Identity) -> Result<String, Error> {
        let machine = self.gate.get(&identity.machine_id, self.deadline()).await?;
        let image = machine
            .image_ref
            .filter(|image| image.digest.as_ref() == Some(&identity.image_digest));
        image.and_then(|image| image.pinned()).ok_or_else(|| {
            Error::Invalid(format!(
                "machine {} does not run {}",
                identity.machine_id, identity.image_digest
            ))
        })
    }

    /// Sets the template's image, unless another coordinator has promoted one with
    /// a newer token meanwhile.
    async fn set_image(&self, template: &Machine, image: &str, issued: u64) -> Result<(), Error> {
        let edit = |config: &mut Config| {
            let promoted = time_in(&config.metadata, PROMOTED);
            if promoted.is_ok_and(|promoted| promoted < Some(issued)) {
                image.clone_into(&mut config.image);
                let value = issued.to_string();
                config.metadata.insert(PROMOTED.to_owned(), value);
            }
        };
        fly::change_stopped(&self.client, &template.id, edit, self.deadline()).await?;
        let after = self.client.get(&template.id, self.deadline()).await?;
        if after.config.image == image {
            return Ok(());
        }
        if time(&after, PROMOTED)? >= Some(issued) {
            return Err(outdated(image));
        }
        Err(Error::Conflict {
            operation: format!("the promotion of {image}"),
            message: format!(
                "machine {} is {}, but a template must not run",
                after.name, after.state
            ),
        })
    }

    /// Creates a trial machine of an image, which must become ready, and destroys it.
    async fn try_image(
        &self,
        template: &Machine,
        image: &str,
        identity: &Identity,
    ) -> Result<(), Error> {
        let mut config = template.config.clone();
        image.clone_into(&mut config.image);
        config.metadata.remove(PROMOTED);
        let expires = (now() + TRIAL_LIFETIME.as_secs()).to_string();
        let metadata = [(ROLE, "trial".to_owned()), (EXPIRES, expires)];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        config.metadata.extend(metadata);
        let create = Create {
            // Each candidate has its own: a trial that was left over is in nobody's way.
            name: format!("trial-{}", identity.machine_id),
            region: template.region.clone(),
            config,
            skip_launch: false,
            skip_service_registration: true,
        };
        let trial = self.client.create(&create, self.deadline()).await?;
        let ready = self.wait_ready(&trial).await;
        let destroyed = self.client.destroy(&trial.id, self.deadline()).await;
        if let Err(error) = destroyed {
            warn!(machine = %trial.id, %error, "cannot destroy a trial: a sweep will do so");
        }
        ready
    }

    async fn wait_ready(&self, trial: &Machine) -> Result<(), Error> {
        let deadline = self.deadline();
        let started = fly::start(&self.client, &trial.id, None, deadline).await?;
        let agent = self.agents.address(&started)?;
        loop {
            let Err(last) = self.agents.check_ready(&agent).await else {
                return Ok(());
            };
            let now = self.client.get(&trial.id, deadline).await?;
            let machine = trial.id.clone();
            match now.state {
                State::Started if Instant::now() < deadline => {}
                State::Started => return Err(Error::NotReady { machine, last }),
                state => {
                    return Err(Error::Died {
                        machine,
                        starts: 1,
                        state,
                    });
                }
            }
            sleep(READY_INTERVAL).await;
        }
    }
}

fn outdated(image: &str) -> Error {
    Error::Conflict {
        operation: format!("the promotion of {image}"),
        message: "its token is not newer than the one that promoted the present image".to_owned(),
    }
}
