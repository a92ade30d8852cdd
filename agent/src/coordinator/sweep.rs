//! The backstop: machines that are idle and did not stop are stopped, those
//! that are out of date get the present image, stopped or when they have
//! nothing to do, and what was made for a while only is taken away.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rand::RngExt;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    App,
    metadata::{AGENT, EXPIRES, ROLE, now, time},
    roll::{give, is_marked, is_outdated, waited_for},
};
use crate::fly::{self, Config, Error, Filter, Machine, MachineId, State};

/// How long a lease is waited for.
const CLAIM: Duration = Duration::from_secs(1);

/// Looks again and again, and at once when an image was promoted; never, if
/// `every` is nothing.
pub(super) async fn sweep(app: Arc<App>, every: Duration, idle_stop: Duration) {
    if every.is_zero() {
        return;
    }
    let mut sweep = Sweep {
        app,
        idle_stop,
        silent: HashMap::new(),
    };
    loop {
        // Several coordinators should not look all at once.
        let pause = every.mul_f64(rand::rng().random_range(0.75..1.25));
        tokio::select! {
            () = sleep(pause) => {}
            () = sweep.app.promoter.promoted.notified() => {}
        }
        if let Err(error) = sweep.look().await {
            warn!(%error, "a sweep ends early");
        }
    }
}

struct Sweep {
    app: Arc<App>,
    idle_stop: Duration,
    /// Agents that do not answer, and since when.
    silent: HashMap<MachineId, Instant>,
}

impl Sweep {
    async fn look(&mut self) -> Result<(), Error> {
        let app = Arc::clone(&self.app);
        let all = Filter::default();
        let machines = app.client.list(&all, app.deadline()).await?;
        self.silent
            .retain(|id, _| machines.iter().any(|machine| machine.id == *id));
        let template = app.picker.template_among(&machines);
        // Without a template nothing is out of date.
        let image = template.map(|template| template.config.image.as_str());
        let mut due = Vec::new();
        for machine in &machines {
            let is_outdated = image.is_some_and(|image| is_outdated(machine, image));
            match self.look_at(machine, image.filter(|_| is_outdated)).await {
                Ok(Some(idle)) if is_outdated && idle >= app.gently.idle => {
                    due.push(machine.id.clone());
                }
                Ok(_) => {}
                Err(error) => warn!(machine = %machine.id, %error, "a sweep passes it over"),
            }
        }
        app.roll_all(&due, image.unwrap_or_default()).await;
        Ok(())
    }

    /// Does what is due for a machine; for how long it has been idle, if it
    /// goes on running and is. `image` is what it should have and has not.
    async fn look_at(
        &mut self,
        machine: &Machine,
        image: Option<&str>,
    ) -> Result<Option<Duration>, Error> {
        let app = Arc::clone(&self.app);
        let (client, id) = (&app.client, &machine.id);
        if time(machine, EXPIRES).is_some_and(|until| until < now()) {
            return client.destroy(id, app.deadline()).await.map(|()| None);
        }
        if machine.metadata(ROLE) != Some(AGENT) {
            return Ok(None);
        }
        if is_marked(machine) {
            waited_for(client, id, Instant::now() + CLAIM).await?;
        }
        match (machine.state, image) {
            (State::Started, _) => self.stop_idle(machine).await,
            // Only while it is stopped: an update restarts what runs.
            (State::Stopped, Some(image)) => {
                let edit = |config: &mut Config| give(config, image);
                let changed = fly::change_stopped(client, id, edit, app.deadline());
                changed.await.map(|_| None)
            }
            _ => Ok(None),
        }
    }

    /// Stops it if it has been idle for too long; if not, for how long, if it is
    /// idle at all.
    async fn stop_idle(&mut self, machine: &Machine) -> Result<Option<Duration>, Error> {
        let (app, id) = (&self.app, &machine.id);
        let status = app.agents.status(&app.agents.place(machine)?).await;
        let idle = if let Ok(status) = &status {
            self.silent.remove(id);
            Duration::from_secs(status.idle_seconds.unwrap_or(0))
        } else {
            let since = self.silent.entry(id.clone()).or_insert_with(Instant::now);
            since.elapsed()
        };
        if idle < self.idle_stop {
            let resting = status.is_ok_and(|status| status.rests(idle));
            return Ok(resting.then_some(idle));
        }
        info!(machine = %id, idle = idle.as_secs(), "idle for long enough: it is stopped");
        app.waker.doubt(id);
        fly::stop(&app.client, id, None, app.deadline()).await?;
        Ok(None)
    }
}
