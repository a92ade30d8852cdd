//! What a machine's metadata say: all that coordinators know of it, besides
//! what the platform does. They make no new version, and can be asked for.

use std::time::SystemTime;

use crate::fly::Machine;

/// What a machine is for.
pub(super) const ROLE: &str = "role";
/// An agent's role.
pub(super) const AGENT: &str = "agent";
/// What it works on.
pub(super) const KEY: &str = "key";
/// For whom; nothing: it is free.
pub(super) const TASK: &str = "task";
/// Until when it is needed, in seconds since 1970; for ever, if it does not say.
pub(super) const EXPIRES: &str = "expires";
/// Of the template: when the token was made that promoted its image, likewise.
pub(super) const PROMOTED: &str = "promoted";
/// That it is being given another image, by whoever has its lease.
pub(super) const ROLLING: &str = "rolling";
/// The image it had before this one, which has not come up here yet.
pub(super) const BEFORE: &str = "image-before";
/// An image that did not come up here.
pub(super) const REFUSED: &str = "image-refused";

/// What a machine says, if it says something.
pub(super) fn said<'a>(machine: &'a Machine, key: &str) -> Option<&'a str> {
    machine.metadata(key).filter(|value| !value.is_empty())
}

/// A time that a machine speaks of.
pub(super) fn time(machine: &Machine, key: &str) -> Option<u64> {
    said(machine, key)?.parse().ok()
}

/// Now, in seconds since 1970.
pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
