//! Mounting needs `CAP_SYS_ADMIN`.

use std::fs;

use anyhow::{Result, bail};

/// The bit of `CAP_SYS_ADMIN` in capabilities(7).
const SYS_ADMIN: u32 = 21;
/// And of `CAP_IPC_LOCK`.
const IPC_LOCK: u32 = 14;

/// Fails with the way out when this process may not mount.
pub(crate) fn check(purpose: &str) -> Result<()> {
    if !has(&own_status(), SYS_ADMIN) {
        bail!("{purpose}: run it with sudo, or in a container give it CAP_SYS_ADMIN");
    }
    Ok(())
}

/// Whether locked memory has no limit for us.
pub(crate) fn may_lock() -> bool {
    has(&own_status(), IPC_LOCK)
}

fn own_status() -> String {
    fs::read_to_string("/proc/self/status").unwrap_or_default()
}

fn has(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & (1 << capability) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_counts_not_the_user() {
        assert!(has("Name:\tx\nCapEff:\t0000000000200000\n", SYS_ADMIN));
        assert!(!has("Name:\tx\nCapEff:\t00000000a80425fb\n", SYS_ADMIN));
        assert!(!has("", SYS_ADMIN));
    }
}
