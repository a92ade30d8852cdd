//! The state directory: whether there is room in it, and what crashes left there.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::statvfs;

use super::check::{Check, Health};
use crate::{
    attach::{
        commands::status::{
            self, StatusOptions,
            relay::RelayStatus,
            report::{AttachState, AttachmentStatus},
        },
        state::{
            attachment_dir::DISCARDED,
            directory::{self, list_directory},
            lower_dir::{LOWERS, LowerDir},
        },
    },
    units::show_size,
};

const NAME: &str = "state directory";
/// With fewer free bytes, attach may be unable to write its records.
const MIN_FREE_SPACE: u64 = 64 << 20;

pub(super) fn checks(state: &Path) -> Vec<Check> {
    match state_checks(state) {
        Ok(checks) => checks,
        Err(error) => {
            let finding = format!("{error:#}");
            let fix = "sudo blockd doctor, or another directory with --state";
            vec![Check::bad(NAME, Health::Fault, finding, fix)]
        }
    }
}

fn state_checks(state: &Path) -> Result<Vec<Check>> {
    let options = StatusOptions {
        mountpoint: None,
        state: state.to_owned(),
    };
    let report = status::status(&options)?;
    let mut checks = vec![free_space(state)?];
    checks.extend(report.unreadable.iter().map(|reason| {
        let fix = "remove that file, and unmount by hand what it was for";
        Check::bad(NAME, Health::Warning, reason, fix)
    }));
    checks.extend(report.attachments.iter().filter_map(attachment));
    for key in directory::entries(state, LOWERS)? {
        checks.extend(unused_lower(state, &key)?);
    }
    for key in directory::entries(state, DISCARDED)? {
        let finding = format!("{DISCARDED}/{key} is being removed, or was when a detach was ended");
        let path = state.join(DISCARDED).join(key);
        let fix = format!("detach there again, or rm -r {}", path.display());
        checks.push(Check::bad(NAME, Health::Warning, finding, fix));
    }
    Ok(checks)
}

fn free_space(state: &Path) -> Result<Check> {
    let shown = state.display();
    let existing = state.ancestors().find(|path| path.is_dir());
    let existing = existing.with_context(|| format!("cannot find {shown}"))?;
    let found = statvfs(existing).with_context(|| format!("cannot read {shown}"))?;
    // 2^64 bytes are more than there are.
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let finding = format!("{shown} has {} free", show_size(free));
    if free < MIN_FREE_SPACE {
        let fix = format!("make room in {shown}, or attach with --state or --upper tmpfs");
        return Ok(Check::bad(NAME, Health::Warning, finding, fix));
    }
    Ok(Check::good(NAME, finding))
}

fn attachment(status: &AttachmentStatus) -> Option<Check> {
    let mountpoint = status.mountpoint.display();
    let finding = match (status.state, &status.relay) {
        (AttachState::Broken, _) => format!("{mountpoint} is half attached"),
        (AttachState::Attached, Some(RelayStatus::Dead) | None) => {
            format!("the relay of {mountpoint} is dead: reads fail there")
        }
        (AttachState::Attached, Some(RelayStatus::Silent { pid })) => {
            format!("the relay of {mountpoint}, process {pid}, does not answer")
        }
        _ => return None,
    };
    let fix = format!("blockd detach {mountpoint} (changes are kept)");
    Some(Check::bad("attachment", Health::Warning, finding, fix))
}

/// A lower layer that no attachment uses.
fn unused_lower(state: &Path, key: &str) -> Result<Option<Check>> {
    let users = LowerDir::with_key(state, key).users_directory();
    let is_used = list_directory(&users)
        .with_context(|| format!("cannot list {}", users.display()))?
        .next()
        .is_some();
    Ok((!is_used).then(|| {
        let finding = format!("{LOWERS}/{key} is not used by any attachment");
        let fix = format!("blockd reap {} {key}", state.display());
        Check::bad("lower layer", Health::Warning, finding, fix)
    }))
}
