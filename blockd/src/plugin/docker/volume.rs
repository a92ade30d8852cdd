//! What is done to one volume; a volume is done to by one at a time.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, anyhow, bail};

use super::{
    name::VolumeName,
    options::{Given, VolumeOptions},
    record::{VolumeDir, VolumeRecord},
};
use crate::attach::{
    self, AttachOptions, AttachState, AttachmentStatus, DetachMode, DetachOptions, RelayStatus,
};

/// A volume, and how volumes are attached.
#[derive(Debug)]
pub(super) struct Volume {
    name: VolumeName,
    dir: VolumeDir,
    defaults: Arc<AttachOptions>,
}

/// What Docker is told of a volume.
#[derive(Clone, Debug)]
pub(super) struct Description {
    pub(super) name: VolumeName,
    /// Where it is mounted, if it is.
    pub(super) mountpoint: Option<PathBuf>,
    /// How many times it is mounted.
    pub(super) mounts: usize,
    /// What it shows.
    pub(super) uri: String,
}

impl Volume {
    pub(super) fn new(volumes: &Path, name: VolumeName, defaults: Arc<AttachOptions>) -> Self {
        Self {
            dir: VolumeDir::new(volumes, &name),
            name,
            defaults,
        }
    }

    /// Makes it. Nothing is asked of a server before it is mounted.
    ///
    /// # Errors
    ///
    /// When an option is wrong, or it is there with other options.
    pub(super) fn create(&self, options: Given) -> Result<()> {
        VolumeOptions::parse(&options)?.attach(&self.name, &self.defaults)?;
        match self.dir.load()? {
            Some(record) if record.options != options => bail!(
                "there is a volume {} with other options: `docker volume rm {0}` removes it, and \
                 its changes",
                self.name
            ),
            Some(_) => Ok(()),
            None => self.dir.save(&VolumeRecord::new(options)?),
        }
    }

    /// Mounts it for an id, or finds it mounted; returns where.
    ///
    /// # Errors
    ///
    /// When it is not there, or cannot be attached. One that has no options, and was
    /// never mounted, is then forgotten: its name may be a mistake.
    pub(super) fn mount(&self, id: &str) -> Result<PathBuf> {
        let mut record = self.load()?;
        let found = self.status()?;
        record.mounts.insert(id.to_owned());
        self.dir.save(&record)?;
        let is_new = found.is_none() && record.mounts.len() == 1;
        if let Err(error) = self.attach(&record, found) {
            record.mounts.remove(id);
            if is_new && record.options.is_empty() {
                self.dir.remove()?;
            } else {
                self.dir.save(&record)?;
            }
            let what = format!("cannot attach the volume {}", self.name);
            return Err(error.context(what));
        }
        Ok(self.dir.mountpoint())
    }

    fn attach(&self, record: &VolumeRecord, found: Option<AttachmentStatus>) -> Result<()> {
        let is_attached = |found: &AttachmentStatus| found.state == AttachState::Attached;
        let is_dead = |found: &AttachmentStatus| found.relay == Some(RelayStatus::Dead);
        match &found {
            Some(found) if is_attached(found) && !is_dead(found) => return Ok(()),
            Some(found) if is_attached(found) && record.mounts.len() > 1 => bail!(
                "its relay has died: stop the containers that use it, so that it is attached anew"
            ),
            Some(found) if is_attached(found) => self.detach(false)?,
            _ => {}
        }
        let mut options =
            VolumeOptions::parse(&record.options)?.attach(&self.name, &self.defaults)?;
        // Changes belong to one commit; a branch may have moved on.
        let changes = found.and_then(|found| found.changes);
        if let Some(changes) = changes.filter(|_| !options.read_only) {
            options.relay.uri.export = changes.export_to_go_on_with();
        }
        options.mountpoint = self.dir.mountpoint();
        let uri = options.relay.uri.clone();
        let report = attach::attach(&options).with_context(|| format!("from {uri}"))?;
        for warning in &report.warnings {
            tracing::warn!("{}: {warning}", self.name);
        }
        tracing::info!("mounted {}: {}", self.name, report.export);
        Ok(())
    }

    /// Ends the mount of an id; the last one detaches it. Its changes are kept.
    ///
    /// # Errors
    ///
    /// When it is not there, or cannot be detached.
    pub(super) fn unmount(&self, id: &str) -> Result<()> {
        let mut record = self.load()?;
        record.mounts.remove(id);
        self.dir.save(&record)?;
        self.settle()
    }

    /// Detaches it if nobody has it mounted.
    ///
    /// # Errors
    ///
    /// When it cannot be detached.
    pub(super) fn settle(&self) -> Result<()> {
        let Some(record) = self.dir.load()? else {
            return Ok(());
        };
        let found = self.status()?;
        let is_detached = |found: &AttachmentStatus| found.state == AttachState::Detached;
        if !record.mounts.is_empty() || found.as_ref().is_none_or(is_detached) {
            return Ok(());
        }
        self.detach(false)?;
        tracing::info!("detached {}", self.name);
        Ok(())
    }

    /// Removes it, and its changes.
    ///
    /// # Errors
    ///
    /// When it is mounted, or cannot be taken down.
    pub(super) fn remove(&self) -> Result<()> {
        let Some(record) = self.dir.load()? else {
            return Ok(());
        };
        if !record.mounts.is_empty() {
            bail!(
                "the volume {} is in use, by {} containers: stop them first",
                self.name,
                record.mounts.len()
            );
        }
        self.detach(true)?;
        self.dir.remove()
    }

    /// What it is; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// When its record cannot be read.
    pub(super) fn describe(&self) -> Result<Option<Description>> {
        let Some(record) = self.dir.load()? else {
            return Ok(None);
        };
        let options = VolumeOptions::parse(&record.options)?.attach(&self.name, &self.defaults)?;
        let mounts = record.mounts.len();
        Ok(Some(Description {
            name: self.name.clone(),
            mountpoint: (mounts > 0).then(|| self.dir.mountpoint()),
            mounts,
            uri: options.relay.uri.to_string(),
        }))
    }

    fn load(&self) -> Result<VolumeRecord> {
        self.dir.load()?.ok_or_else(|| {
            anyhow!(
                "there is no volume {}: make it with `docker volume create --driver blockd {0}`",
                self.name
            )
        })
    }

    fn status(&self) -> Result<Option<AttachmentStatus>> {
        attach::status_of(&self.dir.mountpoint(), &self.defaults.state)
    }

    /// Processes that have entered the tree must not keep a container from ending.
    fn detach(&self, discard: bool) -> Result<()> {
        let options = |mode| DetachOptions {
            mountpoint: self.dir.mountpoint(),
            state: self.defaults.state.clone(),
            mode,
            discard,
            program: self.defaults.program.clone(),
        };
        let Err(error) = attach::detach(&options(DetachMode::FailIfBusy)) else {
            return Ok(());
        };
        tracing::warn!("{} is detached lazily: {error:#}", self.name);
        attach::detach(&options(DetachMode::Lazy))?;
        Ok(())
    }
}
