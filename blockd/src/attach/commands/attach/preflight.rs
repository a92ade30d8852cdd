//! What is checked before anything is made.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::attach::{
    commands::{
        export_name::ExportName,
        mountpoint,
        teardown::{self, DetachMode},
    },
    layers::{made_directories, mounts::Mounts, own_mount::OwnMount, target::Target, upper},
    state::{
        attachment_dir::AttachmentDir,
        attachment_record::{Attachment, AttachmentRecord, KeptChanges},
        upper_kind::UpperKind,
    },
};
use blockd_nbd::{client::Offer, uri::NbdUri};

/// The canonical path of the directory to attach at, which need not be there.
///
/// # Errors
///
/// When it is not a directory, or the state directory is in it.
pub(super) fn mountpoint(mountpoint: &Path, state: &Path) -> Result<PathBuf> {
    let shown = mountpoint.display();
    let resolved = mountpoint::resolve(mountpoint)?;
    match resolved.symlink_metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => bail!("cannot attach at {shown}: it is not a directory"),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && !mountpoint::steps_back(&resolved) => {}
        Err(error) => {
            let context = format!("cannot attach at {shown}: make that directory first");
            return Err(error).context(context);
        }
    }
    if state.starts_with(&resolved) {
        let state = state.display();
        bail!("{shown} would hide the state directory {state}: choose another with --state");
    }
    Ok(resolved)
}

/// Makes the directories of the mountpoint's path that are not there, and records how
/// many before. Returns whether there were any.
///
/// # Errors
///
/// When one cannot be made; what was made until then is recorded.
pub(super) fn make_mountpoint(dir: &AttachmentDir, record: &mut AttachmentRecord) -> Result<bool> {
    let mountpoint = dir.mountpoint();
    let shown = mountpoint.display();
    let missing = made_directories::missing(mountpoint);
    let missing = missing.with_context(|| format!("cannot attach at {shown}"))?;
    let Some(missing) = missing else {
        return Ok(false);
    };
    record.made = Some(missing);
    record.save(dir)?;
    let made = made_directories::make(mountpoint, missing);
    made.with_context(|| format!("cannot make the directory {shown} to attach at"))?;
    Ok(true)
}

/// Takes down what a crash left at a mountpoint; returns the directory, which is empty.
///
/// # Errors
///
/// When something is attached there, or the directory is not empty.
pub(super) fn clear_mountpoint(
    dir: &AttachmentDir,
    record: &mut AttachmentRecord,
) -> Result<Target> {
    let shown = dir.mountpoint().display();
    if let Some(attachment) = record.attachment.take() {
        refuse_attached(dir, &attachment)?;
        let export = &attachment.export;
        tracing::info!("taking down what is left of {export} at {shown}");
        teardown::take_down(dir, &attachment, DetachMode::FailIfBusy)?;
        record.save(dir)?;
    }
    let target =
        Target::open(dir.mountpoint()).with_context(|| format!("cannot attach at {shown}"))?;
    let is_empty = target.is_empty();
    if !is_empty.with_context(|| format!("cannot read {shown}"))? {
        bail!("cannot attach at {shown}: it is not empty");
    }
    Ok(target)
}

fn refuse_attached(dir: &AttachmentDir, attachment: &Attachment) -> Result<()> {
    let mounts = Mounts::read()?;
    let own = OwnMount::new(dir, &attachment.lower(dir), &mounts);
    if own.find(&mounts).is_some() {
        let (export, shown) = (&attachment.export, dir.mountpoint().display());
        bail!("{export} is attached at {shown} already: detach it first");
    }
    Ok(())
}

/// Records for which export changes are kept, and where. `requested` is the export
/// and where they are to be kept.
///
/// # Errors
///
/// When there are changes to another export, to which they belong, or in another
/// place.
pub(super) fn claim_changes(
    dir: &AttachmentDir,
    record: &mut AttachmentRecord,
    uri: &NbdUri,
    requested: (&str, Option<UpperKind>),
) -> Result<UpperKind> {
    let (export, requested) = requested;
    let shown = dir.mountpoint().display();
    let discard = format!("discard them with `blockd detach --discard {shown}`");
    let Some(kept) = kept_changes(dir, record)? else {
        let upper = requested.unwrap_or_default();
        record.changes = Some(KeptChanges::new(export.to_owned(), upper)?);
        return Ok(upper);
    };
    if kept.export != export {
        let name = ExportName::parse(&kept.export);
        let is_block = kept.upper == UpperKind::Block;
        let uri = NbdUri {
            // Changed blocks go with one disk only, changed files with every disk
            // of their commit.
            export: if is_block {
                kept.export.clone()
            } else {
                name.of_commit().to_string()
            },
            ..uri.clone()
        };
        if is_block && name.is_same_work_tree(&ExportName::parse(export)) {
            bail!(
                "the changes kept for {shown} are blocks of {}, which no server has any more: \
                 attach them with a server that has it (one of the release that made them, or \
                 the one that was used before), or {discard}",
                kept.export
            );
        }
        bail!(
            "the changes kept for {shown} were made to another export: go on with them with \
             `blockd attach {uri} {shown}`, or {discard}"
        );
    }
    if requested.is_some_and(|requested| !requested.is_same_place(kept.upper)) {
        let option = match requested {
            Some(UpperKind::Volatile) => "--volatile",
            _ => "--upper",
        };
        bail!(
            "the changes kept for {shown} are in --upper {}: leave {option} out to go on with \
             them, or {discard}",
            kept.upper
        );
    }
    let upper = match requested {
        Some(UpperKind::Volatile) => UpperKind::Volatile,
        _ => kept.upper,
    };
    record.changes = Some(KeptChanges::new(kept.export, upper)?);
    Ok(upper)
}

/// Changes that were kept, unless there are none in them.
///
/// # Errors
///
/// When they cannot be read.
pub(super) fn kept_changes(
    dir: &AttachmentDir,
    record: &AttachmentRecord,
) -> Result<Option<KeptChanges>> {
    match &record.changes {
        Some(kept) if upper::has_changes(dir, kept.upper)? => Ok(Some(kept.clone())),
        _ => Ok(None),
    }
}

/// Checks that a disk has whole blocks, and a size that the kernel can hold.
///
/// # Errors
///
/// When it has not.
pub(super) fn check_size(offer: &Offer) -> Result<()> {
    let (name, size) = (&offer.info.name, offer.info.size);
    if size == 0 || size % 4096 != 0 || i64::try_from(size).is_err() {
        bail!("{name} has {size} bytes: that is no disk of 4096-byte blocks");
    }
    Ok(())
}
