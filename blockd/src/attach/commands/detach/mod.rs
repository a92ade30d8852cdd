//! `blockd detach`: unmounts a work tree.

pub(crate) mod options;
mod removal;
pub(crate) mod report;

use std::path::Path;

use anyhow::{Result, bail};

pub(crate) use self::removal::remove_discarded;
use self::{options::DetachOptions, report::DetachReport};
use super::{
    export_name::ExportName,
    mountpoint, privilege, reap,
    teardown::{self, DetachMode, Remains},
    volatile,
};
use crate::attach::{
    layers::{
        git_hook, git_index,
        holders::holders,
        lower::release::Released,
        made_directories,
        upper::{self, OverlayDirs},
    },
    state::{
        attachment_dir::AttachmentDir,
        attachment_record::{Attachment, AttachmentRecord, Shows},
        directory,
        last_detach::LastDetach,
        lock::Lock,
        lower_dir::LowerDir,
    },
};

/// Detaches what is attached at a mountpoint, or what a failed or killed attach
/// left there. It is no error when there is nothing.
///
/// # Errors
///
/// When processes use the mountpoint, as far as the options do not allow that, or a
/// layer cannot be taken down.
pub fn detach(options: &DetachOptions) -> Result<DetachReport> {
    privilege::check("detach unmounts file systems")?;
    let mut report = DetachReport::nothing(mountpoint::resolve(&options.mountpoint)?);
    let Some(state) = directory::find(&options.state)? else {
        return Ok(report);
    };
    let dir = AttachmentDir::new(&state, &report.mountpoint);
    if dir.path().exists() {
        free_mountpoint(options, &dir, &mut report)?;
    }
    remove_discarded(&dir)?;
    Ok(report)
}

/// Takes down what there is, and moves away what is discarded.
fn free_mountpoint(
    options: &DetachOptions,
    dir: &AttachmentDir,
    report: &mut DetachReport,
) -> Result<()> {
    let _lock = Lock::attachment(dir)?;
    let mut record = AttachmentRecord::load(dir)?;
    if let Some(attachment) = record.attachment.take() {
        report.export = Some(attachment.export.clone());
        let last = LastDetach::new(dir.mountpoint(), &attachment.export);
        let unchanged = unchanged_index(dir, &record, &attachment);
        record.attachment = take_down(options, dir, attachment, report)?;
        git_hook::remove(dir);
        if let (None, Some(dirs)) = (&record.attachment, unchanged) {
            git_index::remove(&dirs)?;
        }
        remember(dir, &last);
    }
    let settled = if options.discard {
        Ok(None)
    } else {
        volatile::settle(dir, &mut record)
    };
    let removed = remove_unused_changes(dir, &mut record, options.discard);
    remove_made(dir, &mut record);
    save(&record, dir)?;
    settled?;
    removed?;
    if let Some(kept) = record.changes {
        (report.changes, report.upper) = (Some(kept.export), Some(kept.upper));
    }
    Ok(())
}

/// Removes the directories that attach made of the mountpoint's path, as far as they hold
/// nothing else. The record is not saved.
pub(crate) fn remove_made(dir: &AttachmentDir, record: &mut AttachmentRecord) {
    let Some(made) = record.made.take() else {
        return;
    };
    if let Err(error) = made_directories::remove(dir.mountpoint(), made) {
        let shown = dir.mountpoint().display();
        tracing::warn!("{shown} was made by attach, and cannot be removed: {error}");
    }
}

/// The upper layer, if it has an index in which nothing is changed. Whether it has is
/// known only as long as the image is there; where it cannot be told, it is kept.
fn unchanged_index(
    dir: &AttachmentDir,
    record: &AttachmentRecord,
    attachment: &Attachment,
) -> Option<OverlayDirs> {
    let export = ExportName::parse(&attachment.export);
    if attachment.shows != Shows::Overlay || export.get("fsmonitor").is_none() {
        return None;
    }
    let dirs = OverlayDirs::of(dir, record.changes.as_ref()?.upper)?;
    let lower = attachment.lower(dir).mountpoint();
    match git_index::is_unchanged(&dirs, &lower, export.id_length()) {
        Ok(unchanged) => unchanged.then_some(dirs),
        Err(error) => {
            tracing::debug!("the index counts as changed: {error}");
            None
        }
    }
}

/// Notes what was detached, for the time of the files that are attached next.
fn remember(dir: &AttachmentDir, last: &LastDetach) {
    if let Err(error) = last.save(dir.state()) {
        tracing::warn!("what was built a moment ago may be taken for newer: {error:#}");
    }
}

/// Takes an attachment down; returns what lingers of it.
fn take_down(
    options: &DetachOptions,
    dir: &AttachmentDir,
    attachment: Attachment,
    report: &mut DetachReport,
) -> Result<Option<Attachment>> {
    if options.mode == DetachMode::Lazy {
        report.holders = holders(Path::new("/proc"), dir.mountpoint())?;
    }
    let Remains { overlay, lower } = teardown::take_down(dir, &attachment, options.mode)?;
    if lower == Released::InUse {
        reap::start(&options.program, &attachment.lower(dir))?;
        report.is_device_in_use = true;
    }
    Ok(overlay.map(|device| Attachment {
        lingering: Some(device),
        ..attachment
    }))
}

/// Removes changes that are to be discarded, and an upper layer in which nothing
/// was changed.
///
/// # Errors
///
/// When changes that processes still use are to be discarded, or cannot be removed.
pub(crate) fn remove_unused_changes(
    dir: &AttachmentDir,
    record: &mut AttachmentRecord,
    discard: bool,
) -> Result<()> {
    let is_lingering = record.attachment.is_some();
    if discard && (is_lingering || LowerDir::private(dir).directory().exists()) {
        bail!("processes still use the changes: discard them when the last has left");
    }
    if is_lingering {
        return Ok(());
    }
    let has_changes = match &record.changes {
        // In what may be incomplete, nothing may be left.
        Some(kept) => kept.may_be_incomplete()? || upper::has_changes(dir, kept.upper)?,
        None => false,
    };
    if discard || !has_changes {
        upper::discard(dir)?;
        record.changes = None;
    }
    Ok(())
}

/// Writes the record. Where the disk is full, the old one stays: it says what may be
/// mounted, and what is mounted is looked up.
fn save(record: &AttachmentRecord, dir: &AttachmentDir) -> Result<()> {
    match record.save_or_remove(dir) {
        Err(error) if directory::is_full(&error) => {
            tracing::warn!("the record is out of date: {error:#}");
            Ok(())
        }
        saved => saved,
    }
}
