//! What this process may do (capabilities(7)).

use std::io;

use anyhow::{Context, Result, bail};
use rustix::thread::{CapabilitySet, capabilities};

/// Checks that this process may mount file systems; `purpose` says what for.
///
/// # Errors
///
/// When it has no `CAP_SYS_ADMIN`.
pub(crate) fn check(purpose: &str) -> Result<()> {
    if !has(CapabilitySet::SYS_ADMIN).context("cannot read the capabilities of this process")? {
        bail!("{purpose}: run it with sudo, or in a container give it CAP_SYS_ADMIN");
    }
    Ok(())
}

/// Whether this process has a capability.
///
/// # Errors
///
/// Those of capget(2).
pub(crate) fn has(capability: CapabilitySet) -> io::Result<bool> {
    Ok(capabilities(None)?.effective.contains(capability))
}
