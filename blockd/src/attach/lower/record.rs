//! What a lower layer consists of, written down before it is made.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::Lower;
use crate::attach::{Via, life::Life, store};

/// One export on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::attach) struct Record {
    /// Canonical name; the key of the directory is only a hash of it.
    pub(in crate::attach) export: String,
    /// Bytes of the disk.
    pub(in crate::attach) size: u64,
    pub(in crate::attach) device: Device,
    /// It is one place's own, and written to.
    pub(in crate::attach) writable: bool,
    pub(in crate::attach) life: Life,
}

/// What brings the blocks into the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::attach) enum Device {
    /// A one-file FUSE file system, and a loop device on its file.
    Fuse {
        /// `/dev/loopN`, once it is bound.
        path: Option<PathBuf>,
    },
    /// The kernel's own client.
    Nbd {
        /// `/dev/nbdN`.
        path: PathBuf,
        /// We know that it is connected for us.
        connected: bool,
    },
}

impl Record {
    pub(in crate::attach) fn load(lower: &Lower) -> Result<Option<Self>> {
        store::read(&lower.record_file())
    }

    /// The record of this export, when there is one.
    pub(super) fn of(lower: &Lower, export: &str) -> Result<Option<Self>> {
        let record = Self::load(lower)?;
        if let Some(other) = record.as_ref().filter(|record| record.export != export) {
            let path = lower.record_file();
            bail!("{} belongs to {}", path.display(), other.export);
        }
        Ok(record)
    }

    pub(super) fn save(&self, lower: &Lower) -> Result<()> {
        store::write(&lower.record_file(), self)
    }

    pub(in crate::attach) fn via(&self) -> Via {
        match self.device {
            Device::Fuse { .. } => Via::Fuse,
            Device::Nbd { .. } => Via::Nbd,
        }
    }

    /// The block device, once it is known.
    pub(in crate::attach) fn path(&self) -> Option<&PathBuf> {
        match &self.device {
            Device::Fuse { path } => path.as_ref(),
            Device::Nbd { path, .. } => Some(path),
        }
    }
}
