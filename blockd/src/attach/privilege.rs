//! Mounting needs `CAP_SYS_ADMIN`.

use std::fs;

use anyhow::{Result, bail};

/// The bit of `CAP_SYS_ADMIN` in capabilities(7).
const SYS_ADMIN: u32 = 21;

/// Fails with the way out when this process may not mount.
pub(super) fn check(purpose: &str) -> Result<()> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !may_mount(&status) {
        bail!("{purpose}: run it with sudo, or in a container give it CAP_SYS_ADMIN");
    }
    Ok(())
}

fn may_mount(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & (1 << SYS_ADMIN) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_counts_not_the_user() {
        assert!(may_mount("Name:\tx\nCapEff:\t0000000000200000\n"));
        assert!(!may_mount("Name:\tx\nCapEff:\t00000000a80425fb\n"));
        assert!(!may_mount(""));
    }
}
