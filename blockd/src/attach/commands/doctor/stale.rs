//! What is left in the state directory, and whether there is room in it.

use std::path::Path;

use rustix::fs::statvfs;

use crate::{
    attach::{
        commands::{
            doctor::{Check, Health},
            status::{AttachmentStatus, RelayStatus, Standing, StatusOptions, status},
        },
        state::{
            directory,
            lower_dir::{LOWERS, Lower},
        },
    },
    units::show_size,
};

const NAME: &str = "state directory";
/// With less, attach may not be able to write down what it does.
const ROOM: u64 = 64 << 20;

pub(super) fn checks(state: &Path) -> Vec<Check> {
    let asked = StatusOptions {
        mountpoint: None,
        state: state.to_owned(),
    };
    let found = match status(&asked) {
        Ok(found) => found,
        Err(error) => {
            let finding = format!("{error:#}");
            let mend = "sudo blockd doctor, or another directory with --state";
            return vec![Check::bad(NAME, Health::Fault, finding, mend)];
        }
    };
    let mut checks = vec![room(state)];
    checks.extend(found.unreadable.iter().map(|reason| {
        let mend = "remove that file, and unmount by hand what it was for";
        Check::bad(NAME, Health::Warning, reason, mend)
    }));
    checks.extend(found.attachments.iter().filter_map(attachment));
    let lowers = directory::entries(state, LOWERS);
    checks.extend(lowers.iter().filter_map(|key| unused(state, key)));
    checks
}

fn room(state: &Path) -> Check {
    let shown = state.display();
    let there = state.ancestors().find(|path| path.is_dir());
    let free = there.and_then(|there| statvfs(there).ok());
    let free = free.map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize));
    let finding = format!("{shown} has {} free", show_size(free));
    if free < ROOM {
        let mend = format!("make room below {shown}, or attach with --state or --upper tmpfs");
        return Check::bad(NAME, Health::Warning, finding, mend);
    }
    Check::good(NAME, finding)
}

fn attachment(found: &AttachmentStatus) -> Option<Check> {
    let mountpoint = found.mountpoint.display();
    let finding = match (found.state, &found.relay) {
        (Standing::Broken, _) => format!("{mountpoint} is half attached"),
        (Standing::Attached, Some(RelayStatus::Dead) | None) => {
            format!("the relay of {mountpoint} is dead: reads fail there")
        }
        (Standing::Attached, Some(RelayStatus::Silent { pid })) => {
            format!("the relay of {mountpoint}, process {pid}, does not answer")
        }
        _ => return None,
    };
    let mend = format!("blockd detach {mountpoint} (changes are kept)");
    Some(Check::bad("attachment", Health::Warning, finding, mend))
}

/// A lower layer that nobody is counted for.
fn unused(state: &Path, key: &str) -> Option<Check> {
    let users = Lower::with_key(state, key).users_directory();
    let used = users
        .read_dir()
        .is_ok_and(|mut users| users.next().is_some());
    let mend = format!("blockd settle {} {key}", state.display());
    (!used).then(|| {
        let finding = format!("{LOWERS}/{key} is used by nobody");
        Check::bad("lower layer", Health::Warning, finding, mend)
    })
}
