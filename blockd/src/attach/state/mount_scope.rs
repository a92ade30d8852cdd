//! Where and how long a mount is valid: in one mount namespace, during one boot.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::relay::boot;

/// The boot and the mount namespace that a mount was made in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountScope {
    /// `/proc/sys/kernel/random/boot_id`.
    boot: String,
    /// The target of `/proc/self/ns/mnt`, `mnt:[N]` (namespaces(7)).
    namespace: String,
}

impl MountScope {
    /// The scope of this process.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted.
    pub(crate) fn current() -> Result<Self> {
        let link = "/proc/self/ns/mnt";
        let namespace = fs::read_link(link).with_context(|| format!("cannot read {link}"))?;
        Ok(Self {
            boot: boot()?,
            namespace: namespace.to_string_lossy().into_owned(),
        })
    }

    /// Whether the machine has not been rebooted between both.
    pub(crate) fn is_same_boot(&self, other: &Self) -> bool {
        self.boot == other.boot
    }

    /// Whether a mount of this scope may exist where `other` does not see it.
    pub(crate) fn is_hidden_from(&self, other: &Self) -> bool {
        self.is_same_boot(other) && self.namespace != other.namespace
    }

    #[cfg(test)]
    pub(super) fn of_boot(boot: &str) -> Self {
        let (boot, namespace) = (boot.to_owned(), "mnt:[1]".to_owned());
        Self { boot, namespace }
    }
}
