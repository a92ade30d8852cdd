//! Until when something that is no file can be there: a machine's life, and a
//! mount namespace's.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::relay::boot;

/// What is mounted belongs to one boot and one mount namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Life {
    boot: String,
    namespace: String,
}

impl Life {
    /// Ours.
    pub(crate) fn now() -> Result<Self> {
        let link = "/proc/self/ns/mnt";
        let namespace = fs::read_link(link).with_context(|| format!("cannot read {link}"))?;
        Ok(Self {
            boot: boot()?,
            namespace: namespace.to_string_lossy().into_owned(),
        })
    }

    /// Whether the machine has not been started anew since.
    pub(crate) fn is_of_boot(&self, other: &Self) -> bool {
        self.boot == other.boot
    }

    /// Whether what belongs to this may be there where `other` cannot see it.
    pub(crate) fn is_elsewhere(&self, other: &Self) -> bool {
        self.is_of_boot(other) && self.namespace != other.namespace
    }

    #[cfg(test)]
    pub(crate) fn of_boot(boot: &str) -> Self {
        let (boot, namespace) = (boot.to_owned(), "mnt:[1]".to_owned());
        Self { boot, namespace }
    }
}
