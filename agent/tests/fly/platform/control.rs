//! How tests control and inspect the platform.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Destroyed, Fault, Platform, Record};

impl Platform {
    /// Creates a stopped machine, without a call of the API.
    pub(crate) fn machine(&self, app: &str, name: &str, config: Value) -> String {
        let mut world = self.shared.world();
        self.shared.make(&mut world, app, name, config)
    }

    /// Changes a machine.
    pub(crate) fn change<T>(&self, id: &str, change: impl FnOnce(&mut Record) -> T) -> T {
        let mut world = self.shared.world();
        change(world.machines.get_mut(id).unwrap())
    }

    /// Inspects a machine.
    pub(crate) fn inspect<T>(&self, id: &str, inspect: impl FnOnce(&Record) -> T) -> T {
        inspect(&self.shared.read().machines[id])
    }

    pub(crate) fn set_state(&self, id: &str, state: &'static str) {
        self.change(id, |machine| machine.state = state);
    }

    /// Gives its lease to somebody else, for so many seconds.
    pub(crate) fn lease(&self, id: &str, seconds: u64) {
        let until = Instant::now() + Duration::from_secs(seconds);
        self.change(id, |machine| {
            machine.lease = Some(("theirs".to_owned(), until));
        });
    }

    /// Sets the faults of its next starts.
    pub(crate) fn fault(&self, id: &str, faults: &[Fault]) {
        self.change(id, |machine| machine.faults = faults.to_vec());
    }

    /// Sets the faults of the machine that is created next.
    pub(crate) fn next_faults(&self, faults: &[Fault]) {
        self.shared.world().next_faults = faults.to_vec();
    }

    /// Sets the fault of every machine that is created from now on.
    pub(crate) fn each_fault(&self, fault: Option<Fault>) {
        self.shared.world().each_fault = fault;
    }

    /// Loses a machine: it is `failed`, `launch_failed` or `destroyed`.
    pub(crate) fn lose(&self, id: &str, state: &'static str) {
        self.shared.lose(id, state);
    }

    /// Whether a destroyed machine is shown as it was.
    pub(crate) fn remembers(&self) -> bool {
        self.shared.switches.destroyed == Destroyed::Remembered
    }

    /// Answers so many calls 429 from now on.
    pub(crate) fn storm(&self, calls: u32) {
        self.shared.world().storm = calls;
    }

    /// Holds calls of an action from now on, or releases those that are held.
    pub(crate) fn hold(&self, action: Option<&'static str>) {
        self.shared.world().held = action;
    }

    /// Whether a call is held.
    pub(crate) fn holds_a_call(&self) -> bool {
        self.shared.read().waiting > 0
    }

    pub(crate) fn state(&self, id: &str) -> &'static str {
        let world = self.shared.read();
        world
            .machines
            .get(id)
            .map_or("destroyed", |machine| machine.state)
    }

    pub(crate) fn config(&self, id: &str) -> Value {
        self.inspect(id, |machine| machine.config.clone())
    }

    pub(crate) fn image(&self, id: &str) -> String {
        self.config(id)["image"].as_str().unwrap().to_owned()
    }

    pub(crate) fn machines_of(&self, app: &str) -> Vec<(String, String)> {
        let world = self.shared.read();
        let exists = |machine: &&Record| machine.app == app && machine.state != "destroyed";
        let own = world.machines.values().filter(exists);
        own.map(|machine| (machine.id.clone(), machine.name.clone()))
            .collect()
    }

    /// How many calls of an action succeeded, for a machine or (with "") for all.
    pub(crate) fn count(&self, action: &str, id: &str) -> usize {
        let world = self.shared.read();
        let is_it = |(done, to, status): &&(String, String, u16)| {
            done == action && (id.is_empty() || to == id) && *status < 300
        };
        world.calls.iter().filter(is_it).count()
    }

    /// The calls of these actions that succeeded for a machine, in order.
    pub(crate) fn done(&self, id: &str, actions: &[&str]) -> Vec<String> {
        let world = self.shared.read();
        let calls = world.calls.iter();
        calls
            .filter(|(done, to, status)| {
                to == id && *status < 300 && actions.contains(&done.as_str())
            })
            .map(|(done, ..)| done.clone())
            .collect()
    }

    /// The statuses of all calls of an action, in order.
    pub(crate) fn statuses(&self, action: &str) -> Vec<u16> {
        let world = self.shared.read();
        let calls = world.calls.iter().filter(|(done, ..)| done == action);
        calls.map(|(.., status)| *status).collect()
    }
}
