//! The memory of a process that the kernel's disk depends on.

use std::fs;

use rustix::{
    mm::{MlockAllFlags, mlockall},
    thread::{CapabilitySet, capabilities},
};
use tracing::info;

/// Locks all memory, and asks the kernel not to end this process when memory
/// is short, so far as the process may: a disk must not wait for memory that
/// is written out to that disk, nor end before its users do.
pub(super) fn stay_in_memory() {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "-1000") {
        info!("oom_score_adj stays as it is: {error}");
    }
    // Without the capability there is a limit (RLIMIT_MEMLOCK), and what is
    // mapped beyond it later would fail.
    let permitted = capabilities(None).map(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    match permitted {
        Ok(true) => {}
        Ok(false) => return info!("the memory is not locked: that needs CAP_IPC_LOCK"),
        Err(error) => return info!("the memory is not locked: no capabilities: {error}"),
    }
    // Pages are locked when they are first used: what is only reserved, as
    // most of a thread's stack is, costs nothing.
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(error) = mlockall(flags) {
        info!("the memory is not locked: {error}");
    }
}
