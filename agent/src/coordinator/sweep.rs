//! The backstop: machines that are idle and did not stop are stopped, those
//! that are stopped and out of date get the present image, and what was made
//! for a while only is taken away.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rand::RngExt;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    App,
    pick::{AGENT, ROLE},
    promote::EXPIRES,
};
use crate::machines::{self, Config, Error, Filter, Machine, MachineId, State};

/// Agents that do not answer, and since when.
type Silent = HashMap<MachineId, Instant>;

/// Looks again and again; never, if `every` is nothing.
pub(super) async fn sweep(app: Arc<App>, every: Duration, idle_stop: Duration) {
    if every.is_zero() {
        return;
    }
    let mut silent = Silent::new();
    loop {
        // Several coordinators should not look all at once.
        let pause = every.mul_f64(rand::rng().random_range(0.75..1.25));
        sleep(pause).await;
        if let Err(error) = app.look(idle_stop, &mut silent).await {
            warn!(%error, "a sweep ends early");
        }
    }
}

impl App {
    async fn look(&self, idle_stop: Duration, silent: &mut Silent) -> Result<(), Error> {
        let machines = self
            .client
            .list(&Filter::default(), self.deadline())
            .await?;
        silent.retain(|id, _| machines.iter().any(|machine| machine.id == *id));
        let template = self.picker.template(self.deadline()).await.ok();
        let image = template.map(|template| template.config.image);
        for machine in &machines {
            let done = match machine.state {
                _ if has_expired(machine) => {
                    self.client.destroy(&machine.id, self.deadline()).await
                }
                _ if machine.metadata(ROLE) != Some(AGENT) => Ok(()),
                State::Started => self.stop_idle(machine, idle_stop, silent).await,
                State::Stopped => self.bring_up_to_date(machine, image.as_deref()).await,
                _ => Ok(()),
            };
            if let Err(error) = done {
                warn!(machine = %machine.id, %error, "a sweep passes it over");
            }
        }
        Ok(())
    }

    async fn stop_idle(
        &self,
        machine: &Machine,
        idle_stop: Duration,
        silent: &mut Silent,
    ) -> Result<(), Error> {
        let status = self.agents.status(&self.agents.place(machine)?).await;
        let idle = if let Ok(status) = status {
            silent.remove(&machine.id);
            Duration::from_secs(status.idle_seconds.unwrap_or(0))
        } else {
            let since = silent
                .entry(machine.id.clone())
                .or_insert_with(Instant::now);
            since.elapsed()
        };
        if idle < idle_stop {
            return Ok(());
        }
        info!(machine = %machine.id, idle = idle.as_secs(), "idle for long enough: it is stopped");
        self.waker.doubt(&machine.id);
        machines::stop(&self.client, &machine.id, None, self.deadline()).await?;
        Ok(())
    }

    /// Only while it is stopped: an update restarts what runs.
    async fn bring_up_to_date(&self, machine: &Machine, image: Option<&str>) -> Result<(), Error> {
        let Some(image) = image.filter(|image| *image != machine.config.image) else {
            return Ok(());
        };
        let edit = |config: &mut Config| image.clone_into(&mut config.image);
        machines::change_stopped(&self.client, &machine.id, edit, self.deadline()).await?;
        Ok(())
    }
}

fn has_expired(machine: &Machine) -> bool {
    let until = machine
        .metadata(EXPIRES)
        .and_then(|until| until.parse().ok());
    until.is_some_and(|until: u64| until < super::promote::now())
}
