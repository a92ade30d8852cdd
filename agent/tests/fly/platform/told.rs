//! What a test tells the platform, and asks it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Fault, Platform, Record};

impl Platform {
    /// Makes a stopped machine, without the API.
    pub(crate) fn machine(&self, app: &str, name: &str, config: Value) -> String {
        let mut world = self.shared.world();
        self.shared.make(&mut world, app, name, config)
    }

    /// Changes or looks at what the platform knows of a machine.
    pub(crate) fn with<T>(&self, id: &str, act: impl FnOnce(&mut Record) -> T) -> T {
        let mut world = self.shared.world();
        act(world.machines.get_mut(id).unwrap())
    }

    pub(crate) fn set_state(&self, id: &str, state: &'static str) {
        self.with(id, |machine| machine.state = state);
        self.shared.changed.notify_waiters();
    }

    /// Somebody else has its lease.
    pub(crate) fn lease(&self, id: &str, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds);
        self.with(id, |machine| {
            machine.lease = Some(("theirs".to_owned(), until));
        });
    }

    /// What goes wrong with its next starts.
    pub(crate) fn fault(&self, id: &str, faults: &[Fault]) {
        self.with(id, |machine| machine.faults = faults.to_vec());
    }

    /// What goes wrong with the starts of the machine that is made next.
    pub(crate) fn next_faults(&self, faults: &[Fault]) {
        self.shared.world().next_faults = faults.to_vec();
    }

    /// So many calls are answered 429 from now on.
    pub(crate) fn storm(&self, calls: u32) {
        self.shared.world().storm = calls;
    }

    /// Calls for an action wait from now on, or do so no more.
    pub(crate) fn hold(&self, action: Option<&'static str>) {
        self.shared.world().held = action;
        self.shared.changed.notify_waiters();
    }

    /// Whether calls are held, and one waits.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.shared.world().waiting > 0
    }

    pub(crate) fn state(&self, id: &str) -> &'static str {
        let world = self.shared.world();
        world
            .machines
            .get(id)
            .map_or("destroyed", |machine| machine.state)
    }

    pub(crate) fn config(&self, id: &str) -> Value {
        self.with(id, |machine| machine.config.clone())
    }

    pub(crate) fn image(&self, id: &str) -> String {
        self.config(id)["image"].as_str().unwrap().to_owned()
    }

    pub(crate) fn machines_of(&self, app: &str) -> Vec<(String, String)> {
        let world = self.shared.world();
        let own = world.machines.values().filter(|machine| machine.app == app);
        own.map(|machine| (machine.id.clone(), machine.name.clone()))
            .collect()
    }

    /// How often this was done with success, to a machine or (with "") at all.
    pub(crate) fn count(&self, action: &str, id: &str) -> usize {
        let world = self.shared.world();
        let is_it = |(done, to, status): &&(String, String, u16)| {
            done == action && (id.is_empty() || to == id) && *status < 300
        };
        world.calls.iter().filter(is_it).count()
    }

    /// Those of these actions that were done to a machine with success, in order.
    pub(crate) fn done(&self, id: &str, actions: &[&str]) -> Vec<String> {
        let world = self.shared.world();
        let calls = world.calls.iter();
        calls
            .filter(|(done, to, status)| {
                to == id && *status < 300 && actions.contains(&done.as_str())
            })
            .map(|(done, ..)| done.clone())
            .collect()
    }

    pub(crate) fn statuses(&self, action: &str) -> Vec<u16> {
        let world = self.shared.world();
        let calls = world.calls.iter().filter(|(done, ..)| done == action);
        calls.map(|(.., status)| *status).collect()
    }
}
