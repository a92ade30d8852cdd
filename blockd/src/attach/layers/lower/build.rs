//! Putting up a lower layer: relay, block device, ext4. What may exist is in the
//! record before it does.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{
    ext4::mount_ext4,
    spec::{LowerSpec, MountedLower},
    superblock::Use,
};
use crate::attach::{
    layers::{
        device::{choose::choose, loop_device::LoopDevice, nbd, nbd_client::ConnectSpec},
        relay,
        step_times::StepTimes,
    },
    state::{
        lock::Lock,
        lower_dir::LowerDir,
        lower_record::{Device, LowerRecord},
        mount_scope::MountScope,
        via::Via,
    },
};

/// A lower layer that is being put up.
#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) lower: &'a LowerDir,
    pub(super) lock: Lock,
    pub(super) spec: &'a LowerSpec<'a>,
    pub(super) times: &'a mut StepTimes,
}

impl Build<'_> {
    /// Puts the layers up, one on the other.
    ///
    /// # Errors
    ///
    /// When a layer cannot be put up; those below it stay, and are in the record.
    pub(super) async fn run(mut self) -> Result<MountedLower> {
        let choice = choose(self.spec.via).await?;
        let device = match choice.via {
            Via::Fuse => self.fuse().await?,
            Via::Nbd => self.nbd().await?,
        };
        Ok(MountedLower {
            device,
            via: choice.via,
            reason: choice.reason.to_owned(),
            shared_with: 0,
        })
    }

    /// FUSE, a loop device, and the ext4 on it.
    async fn fuse(&mut self) -> Result<PathBuf> {
        self.write_record(Device::Fuse { path: None })?;
        self.start_relay(true).await?;
        // The loop device exists as long as this, and then while it is mounted.
        let device = LoopDevice::bind(&self.lower.disk(), self.is_writable())?;
        let path = device.path().to_owned();
        self.write_record(Device::Fuse {
            path: Some(path.clone()),
        })?;
        self.times.step("bind the loop device");
        self.mount(&path)?;
        Ok(path)
    }

    /// The kernel's NBD client, and the ext4 on its device.
    async fn nbd(&mut self) -> Result<PathBuf> {
        // No device is connected yet: this record names none.
        self.write_record(Device::Fuse { path: None })?;
        self.start_relay(false).await?;
        let spec = ConnectSpec {
            socket: &self.lower.socket(),
            export: self.spec.export,
            size: self.spec.size,
            timeout: self.spec.relay.timeout,
            writable: self.is_writable(),
        };
        for path in nbd::free_devices()? {
            let device = |connected| Device::Nbd {
                path: path.clone(),
                connected,
            };
            self.write_record(device(false))?;
            if spec.connect(&path, &self.lower.client_log_file()).await? {
                self.write_record(device(true))?;
                self.times.step("connect the kernel");
                self.mount(&path)?;
                return Ok(path);
            }
        }
        // Other programs have all of them: none must be disconnected.
        self.write_record(Device::Fuse { path: None })?;
        bail!("every /dev/nbdN is in use: load nbd with a larger nbds_max, or give --via fuse")
    }

    async fn start_relay(&mut self, fuse: bool) -> Result<()> {
        let spec = relay::RelaySpec {
            settings: self.spec.relay,
            export: self.spec.export,
            fuse,
            front: self.spec.front,
            blocks: self.spec.blocks.as_deref(),
        };
        relay::start(self.lower, &self.lock, &spec).await?;
        self.times.step("start the relay");
        Ok(())
    }

    fn mount(&mut self, device: &Path) -> Result<()> {
        let since = if self.spec.is_changed && self.is_writable() {
            Use::Written
        } else {
            Use::New
        };
        let expected = (!self.spec.any_ext4).then_some(since);
        mount_ext4(self.lower, device, self.is_writable(), expected)?;
        self.times.step("mount the ext4");
        Ok(())
    }

    fn is_writable(&self) -> bool {
        self.spec.blocks.is_some()
    }

    fn write_record(&self, device: Device) -> Result<()> {
        let record = LowerRecord {
            export: self.spec.export.to_owned(),
            size: self.spec.size,
            device,
            writable: self.is_writable(),
            scope: MountScope::current()?,
        };
        record.save(self.lower)
    }
}
