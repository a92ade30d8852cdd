//! What a lower layer consists of. It is written down before it is made.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::{directory, lower_dir::LowerDir, mount_scope::MountScope, via::Via};

/// The record of one lower layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LowerRecord {
    /// Canonical name of the export; the directory's key is only a hash of it.
    pub(crate) export: String,
    /// Size of the disk in bytes.
    pub(crate) size: u64,
    pub(crate) device: Device,
    /// One attachment has it for itself and writes to the disk.
    pub(crate) writable: bool,
    #[serde(rename = "life")]
    pub(crate) scope: MountScope,
}

/// How the kernel reads the export, and through which device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Device {
    /// A FUSE file system with one file, and a loop device on that file.
    Fuse {
        /// `/dev/loopN`, once it is bound.
        path: Option<PathBuf>,
    },
    /// The kernel's NBD client.
    Nbd {
        /// `/dev/nbdN`.
        path: PathBuf,
        /// Whether it is known to be connected to this relay. Before that,
        /// another program may have taken the device.
        connected: bool,
    },
}

impl LowerRecord {
    /// Reads the record; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or parsed.
    pub(crate) fn load(lower: &LowerDir) -> Result<Option<Self>> {
        directory::read(&lower.record_file())
    }

    /// Reads the record of this export; `None` when there is none.
    ///
    /// # Errors
    ///
    /// Those of [`LowerRecord::load`], and when the directory belongs to another
    /// export.
    pub(crate) fn load_for(lower: &LowerDir, export: &str) -> Result<Option<Self>> {
        let record = Self::load(lower)?;
        if let Some(other) = record.as_ref().filter(|record| record.export != export) {
            let path = lower.record_file();
            bail!("{} belongs to {}", path.display(), other.export);
        }
        Ok(record)
    }

    pub(crate) fn save(&self, lower: &LowerDir) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What an older blockd has attached must be detached by a newer one.
    #[test]
    fn the_format_of_format_2_is_read() {
        let text = r#"{"export": "r@12", "size": 4096, "writable": false,
            "device": {"nbd": {"path": "/dev/nbd3", "connected": true}},
            "life": {"boot": "b", "namespace": "mnt:[4026531841]"}}"#;
        let record: LowerRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.via(), Via::Nbd);
        assert_eq!(record.path(), Some(&PathBuf::from("/dev/nbd3")));
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(
            written,
            serde_json::from_str::<serde_json::Value>(text).unwrap()
        );
    }
}
