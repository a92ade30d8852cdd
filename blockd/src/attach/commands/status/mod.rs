//! `blockd status`: what is attached, through what, and whether it works.

pub(crate) mod progress;
pub(crate) mod relay;
pub(crate) mod report;
mod show;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use self::{
    relay::{RelayStatus, ask},
    report::{AttachState, AttachmentStatus, ChangesStatus, StatusReport},
};
use super::{export_name::ExportName, mountpoint};
use crate::attach::{
    layers::{
        beneath::{self, Next},
        mounts::Mounts,
        own_mount::OwnMount,
        upper::OverlayDirs,
    },
    state::{
        attachment_dir::AttachmentDir,
        attachment_record::{AttachmentRecord, KeptChanges},
        directory::{self, list_directory},
        lower_dir::LowerDir,
        lower_record::LowerRecord,
        mount_scope::MountScope,
    },
};

/// The most files and directories of one upper layer that are counted: a list of all
/// attachments is to be there in a moment, however much was built in them.
const MAX_COUNTED: u64 = 100_000;

/// Of which mountpoint the status is asked for.
#[derive(Clone, Debug)]
pub struct StatusOptions {
    /// The mountpoint; `None`: all.
    pub mountpoint: Option<PathBuf>,
    /// The state directory.
    pub state: PathBuf,
}

/// The status of all attachments, or of one.
///
/// # Errors
///
/// When nothing is attached at the mountpoint and no changes are kept for it, or the
/// state directory cannot be read.
pub fn status(options: &StatusOptions) -> Result<StatusReport> {
    let mountpoint = options.mountpoint.as_deref();
    let mountpoint = mountpoint.map(mountpoint::resolve).transpose()?;
    let mut report = survey(mountpoint.as_deref(), &options.state)?;
    report
        .attachments
        .sort_by(|one, other| one.mountpoint.cmp(&other.mountpoint));
    match mountpoint.filter(|_| report.attachments.is_empty()) {
        Some(_) if !report.unreadable.is_empty() => bail!("{}", report.unreadable.join("; ")),
        Some(mountpoint) => bail!("nothing is attached at {}", mountpoint.display()),
        None => Ok(report),
    }
}

/// The status of one mountpoint; `None` when nothing is attached there, and no changes are
/// kept for it.
///
/// # Errors
///
/// When a record cannot be read.
pub fn status_of(mountpoint: &Path, state: &Path) -> Result<Option<AttachmentStatus>> {
    let mountpoint = mountpoint::resolve(mountpoint)?;
    let mut report = survey(Some(&mountpoint), state)?;
    match report.attachments.pop() {
        None if !report.unreadable.is_empty() => bail!("{}", report.unreadable.join("; ")),
        found => Ok(found),
    }
}

/// What there is at a mountpoint, or at all.
fn survey(mountpoint: Option<&Path>, state: &Path) -> Result<StatusReport> {
    let mut report = StatusReport::default();
    if let Some(state) = directory::find(state)? {
        let mut survey = Survey::new(&state)?;
        for (key, record) in AttachmentRecord::load_all(&state)? {
            let is_asked_for = |record: &AttachmentRecord| {
                mountpoint.is_none_or(|mountpoint| mountpoint == record.mountpoint)
            };
            let added = match record {
                Ok(record) if !is_asked_for(&record) => Ok(()),
                Ok(record) => survey.add(&mut report, &key, &record),
                Err(error) => Err(error),
            };
            if let Err(error) = added {
                report.unreadable.push(format!("{error:#}"));
            }
        }
    }
    Ok(report)
}

/// What is the same for all attachments.
struct Survey {
    state: PathBuf,
    mounts: Mounts,
    scope: MountScope,
    /// By lower layer: each relay is asked once.
    relays: HashMap<PathBuf, Option<RelayStatus>>,
}

impl Survey {
    fn new(state: &Path) -> Result<Self> {
        Ok(Self {
            state: state.to_owned(),
            mounts: Mounts::read()?,
            scope: MountScope::current()?,
            relays: HashMap::new(),
        })
    }

    /// Adds the status of one mountpoint, unless nothing is attached there and
    /// nothing was changed.
    fn add(
        &mut self,
        report: &mut StatusReport,
        key: &str,
        record: &AttachmentRecord,
    ) -> Result<()> {
        let dir = AttachmentDir::with_key(&self.state, key, &record.mountpoint);
        let (attachment, kept) = (record.attachment.as_ref(), record.changes.as_ref());
        let export = attachment.map(|attachment| &attachment.export);
        let Some(export) = export.or(kept.map(|kept| &kept.export)) else {
            return Ok(());
        };
        let lower = match attachment {
            Some(attachment) => attachment.lower(&dir),
            None => LowerDir::shared(&self.state, export),
        };
        let changes = kept.map(|kept| changes_status(&dir, kept)).transpose()?;
        let mut status = AttachmentStatus {
            mountpoint: record.mountpoint.clone(),
            state: self.state_of(&dir, record, &lower),
            commit: ExportName::parse(export).commit().map(str::to_owned),
            export: export.clone(),
            device: None,
            via: None,
            shared_with: 0,
            relay: None,
            changes: changes.filter(|changes| changes.entries > 0 || changes.incomplete),
        };
        let mut added = Ok(());
        if status.state != AttachState::Detached {
            added = self.add_lower(&mut status, &lower);
        } else if status.changes.is_none() {
            return Ok(());
        }
        report.attachments.push(status);
        added
    }

    fn state_of(
        &self,
        dir: &AttachmentDir,
        record: &AttachmentRecord,
        lower: &LowerDir,
    ) -> AttachState {
        let own = || OwnMount::new(dir, lower, &self.mounts);
        match &record.attachment {
            None => AttachState::Detached,
            Some(it) if !it.scope.is_same_boot(&self.scope) => AttachState::Detached,
            Some(it) if it.lingering.is_some() => AttachState::Lingering,
            Some(_) if own().find(&self.mounts).is_some() => AttachState::Attached,
            Some(_) => AttachState::Broken,
        }
    }

    fn add_lower(&mut self, status: &mut AttachmentStatus, lower: &LowerDir) -> Result<()> {
        if let Some(record) = LowerRecord::load(lower)? {
            status.device = record.path().cloned();
            status.via = Some(record.via());
        }
        let users = lower.users_directory();
        let users = list_directory(&users)
            .with_context(|| format!("cannot list {}", users.display()))?
            .count();
        // One of them is this attachment, unless its attach was killed early.
        status.shared_with = users.saturating_sub(1);
        let relay = self.relays.entry(lower.directory().to_owned());
        status.relay.clone_from(relay.or_insert_with(|| ask(lower)));
        Ok(())
    }
}

fn changes_status(dir: &AttachmentDir, kept: &KeptChanges) -> Result<ChangesStatus> {
    let mut counted = Counted::default();
    let path = match OverlayDirs::of(dir, kept.upper) {
        Some(dirs) => dirs.upper,
        None => dir.blocks(),
    };
    count(&path, &mut counted)
        .with_context(|| format!("cannot read the changes in {}", path.display()))?;
    Ok(ChangesStatus {
        export: kept.export.clone(),
        upper: kept.upper,
        incomplete: kept.may_be_incomplete()?,
        entries: counted.entries,
        bytes: counted.bytes,
        more: counted.entries == MAX_COUNTED,
    })
}

#[derive(Default)]
struct Counted {
    entries: u64,
    bytes: u64,
}

/// What is removed while it is counted is counted or not.
fn count(directory: &Path, counted: &mut Counted) -> io::Result<()> {
    let Some(root) = beneath::open_root(directory)? else {
        return Ok(());
    };
    beneath::walk(root, |entry| {
        if counted.entries == MAX_COUNTED {
            return Ok(Next::Stop);
        }
        match entry.stat() {
            Ok(found) => {
                counted.entries += 1;
                counted.bytes += found.st_blocks.unsigned_abs() * 512;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Next::GoOn)
    })
}
