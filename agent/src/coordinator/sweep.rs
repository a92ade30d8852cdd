//! The sweep: stops machines that are idle and did not stop by themselves, gives
//! outdated ones the template's image while they are stopped or idle, and
//! destroys those that have expired.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rand::RngExt;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    app::App,
    image::{is_marked, is_outdated, set_image, wait_unmarked},
    metadata::{AGENT, EXPIRES, ROLE, now, time},
};
use crate::fly::{self, Config, Error, Filter, Machine, MachineId, State};

/// How long to wait for a lease.
const LEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// Sweeps again and again, about every `interval`, and at once when an image was
/// promoted. Stops machines whose agents have been idle for `idle_stop`.
pub(super) async fn sweep(app: Arc<App>, interval: Duration, idle_stop: Duration) {
    let mut sweep = Sweep {
        app,
        idle_stop,
        silent: HashMap::new(),
    };
    loop {
        // Jitter: several coordinators should not sweep at the same time.
        let pause = interval.mul_f64(rand::rng().random_range(0.75..1.25));
        tokio::select! {
            () = sleep(pause) => {}
            () = sweep.app.promoter.promoted.notified() => {}
        }
        if let Err(error) = sweep.run().await {
            warn!(%error, "a sweep failed");
        }
    }
}

struct Sweep {
    app: Arc<App>,
    idle_stop: Duration,
    /// The machines whose agents do not answer, and since when.
    silent: HashMap<MachineId, Instant>,
}

impl Sweep {
    async fn run(&mut self) -> Result<(), Error> {
        let app = Arc::clone(&self.app);
        let all = Filter::default();
        let machines = app.client.list(&all, app.deadline()).await?;
        self.silent
            .retain(|id, _| machines.iter().any(|machine| machine.id == *id));
        let template = app.picker.template_among(&machines);
        // Without a template no machine is outdated.
        let image = template.map(|template| template.config.image.as_str());
        let mut due = Vec::new();
        for machine in &machines {
            let new_image = image.filter(|image| is_outdated(machine, image));
            match self.visit(machine, new_image).await {
                Ok(Some(idle)) if new_image.is_some() && idle >= app.roller.policy.idle => {
                    due.push(machine.id.clone());
                }
                Ok(_) => {}
                Err(error) => warn!(machine = %machine.id, %error, "a sweep skipped a machine"),
            }
        }
        if let Some(image) = image {
            app.roller.roll_all(&due, image).await;
        }
        Ok(())
    }

    /// Does what is due for one machine, and gives it `image` if it is stopped.
    /// Returns for how long its agent has been idle, if it is and goes on running.
    async fn visit(
        &mut self,
        machine: &Machine,
        image: Option<&str>,
    ) -> Result<Option<Duration>, Error> {
        let app = Arc::clone(&self.app);
        let (client, id) = (&app.client, &machine.id);
        if time(machine, EXPIRES)?.is_some_and(|until| until < now()) {
            return client.destroy(id, app.deadline()).await.map(|()| None);
        }
        if machine.metadata(ROLE) != Some(AGENT) {
            return Ok(None);
        }
        if is_marked(machine) {
            wait_unmarked(client, id, Instant::now() + LEASE_TIMEOUT).await?;
        }
        match (&machine.state, image) {
            (State::Started, _) => self.stop_idle(machine).await,
            // Not while it runs: an update would restart it.
            (State::Stopped, Some(image)) => {
                let edit = |config: &mut Config| set_image(config, image);
                let changed = fly::change_stopped(client, id, edit, app.deadline());
                changed.await.map(|_| None)
            }
            _ => Ok(None),
        }
    }

    /// Stops a machine that has been idle for too long. Returns for how long its
    /// agent has been idle, if it is and was not stopped.
    async fn stop_idle(&mut self, machine: &Machine) -> Result<Option<Duration>, Error> {
        let (app, id) = (&self.app, &machine.id);
        let status = app.agents.status(&app.agents.address(machine)?).await;
        let idle = if let Ok(status) = &status {
            self.silent.remove(id);
            status.idle()
        } else {
            let since = self.silent.entry(id.clone()).or_insert_with(Instant::now);
            Some(since.elapsed())
        };
        let Some(idle) = idle else {
            return Ok(None);
        };
        if idle < self.idle_stop {
            let rests = status.is_ok_and(|status| status.rests(idle));
            return Ok(rests.then_some(idle));
        }
        info!(machine = %id, idle_seconds = idle.as_secs(), "stopping an idle machine");
        app.waker.invalidate(id);
        fly::stop(&app.client, id, None, app.deadline()).await?;
        Ok(None)
    }
}
