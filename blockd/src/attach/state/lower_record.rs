//! What a lower layer consists of, written down before it is made.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::attach::{
    layers::device::Via,
    state::{directory, lower_dir::Lower, mount_scope::Life},
};

/// One export on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Canonical name; the key of the directory is only a hash of it.
    pub(crate) export: String,
    /// Bytes of the disk.
    pub(crate) size: u64,
    pub(crate) device: Device,
    /// It is one place's own, and written to.
    pub(crate) writable: bool,
    pub(crate) life: Life,
}

/// What brings the blocks into the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Device {
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
    pub(crate) fn load(lower: &Lower) -> Result<Option<Self>> {
        directory::read(&lower.record_file())
    }

    /// The record of this export, when there is one.
    pub(crate) fn of(lower: &Lower, export: &str) -> Result<Option<Self>> {
        let record = Self::load(lower)?;
        if let Some(other) = record.as_ref().filter(|record| record.export != export) {
            let path = lower.record_file();
            bail!("{} belongs to {}", path.display(), other.export);
        }
        Ok(record)
    }

    pub(crate) fn save(&self, lower: &Lower) -> Result<()> {
        directory::write(&lower.record_file(), self)
    }

    pub(crate) fn via(&self) -> Via {
        match self.device {
            Device::Fuse { .. } => Via::Fuse,
            Device::Nbd { .. } => Via::Nbd,
        }
    }

    /// The block device, once it is known.
    pub(crate) fn path(&self) -> Option<&PathBuf> {
        match &self.device {
            Device::Fuse { path } => path.as_ref(),
            Device::Nbd { path, .. } => Some(path),
        }
    }
}
