//! `.internal` names, and the proxy's autostop.

use std::net::IpAddr;

use super::{Platform, lifecycle};

impl Platform {
    /// The addresses of a name in the DNS, which has started machines only.
    pub(crate) fn resolve(&self, name: &str) -> Vec<IpAddr> {
        let world = self.shared.world();
        let labels: Vec<_> = name.split('.').collect();
        let fits = |machine: &&super::Record| match labels[..] {
            [app, "internal"] => machine.app == app,
            [id, "vm", app, "internal"] => machine.id == id && machine.app == app,
            [value, key, "kv", "_metadata", app, "internal"] => {
                machine.app == app && machine.config["metadata"][key] == value
            }
            _ => false,
        };
        let started = world
            .machines
            .values()
            .filter(|machine| machine.state == "started");
        started.filter(fits).map(|machine| machine.ip).collect()
    }

    /// One pass of autostop: of several machines, those over their soft limit and one
    /// more are needed, and one of those in excess is stopped. A single machine is
    /// stopped when it has no load at all.
    pub(crate) fn autostop(&self, app: &str) -> Option<String> {
        let mut world = self.shared.world();
        let mut running: Vec<_> = world
            .machines
            .values_mut()
            .filter(|machine| machine.app == app && machine.state == "started")
            .collect();
        let soft = |machine: &super::Record| {
            machine.config["services"][0]["concurrency"]["soft_limit"]
                .as_u64()
                .unwrap_or(20)
        };
        let over = running
            .iter()
            .filter(|machine| u64::from(machine.open_requests) > soft(machine))
            .count();
        let is_excess = match running.len() {
            0 => false,
            1 => running[0].open_requests == 0,
            many => many > over + 1,
        };
        let allows = |machine: &super::Record| {
            matches!(
                machine.config["services"][0]["autostop"].as_str(),
                Some("stop" | "suspend")
            )
        };
        let least = running
            .iter_mut()
            .filter(|machine| allows(machine))
            .min_by_key(|machine| machine.open_requests);
        let machine = least.filter(|_| is_excess)?;
        machine.state = "stopping";
        let id = machine.id.clone();
        drop(world);
        lifecycle::stop(&self.shared, &id, "stopped");
        Some(id)
    }
}
