//! `blockd doctor`: checks what attach needs of this host, and says what to do about
//! what is missing. Nothing is changed; an overlay is mounted and unmounted where
//! attach would mount one.

pub(crate) mod check;
mod host;
mod kernel;
mod leftovers;
mod overlayfs;

use std::path::PathBuf;

use self::check::{DoctorReport, Health};

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct DoctorOptions {
    /// The state directory.
    pub state: PathBuf,
}

/// Checks everything that attach needs.
pub fn doctor(options: &DoctorOptions) -> DoctorReport {
    let mut checks = vec![host::versions(), host::privilege(), host::namespaces()];
    checks.extend(host::limits());
    checks.push(kernel::ext4());
    checks.extend(kernel::block_devices());
    checks.extend(overlayfs::checks(&options.state));
    checks.extend(leftovers::checks(&options.state));
    DoctorReport {
        works: checks.iter().all(|check| check.health != Health::Fault),
        checks,
    }
}
