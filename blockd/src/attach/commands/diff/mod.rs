//! `blockd diff`: lists the changed paths of a mountpoint, from its upper layer.

pub(crate) mod change;
mod marks;
mod paths;
mod walk;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use self::{change::DiffReport, paths::Paths};
use super::{mountpoint, privilege};
use crate::attach::{
    layers::{mounts::Mounts, upper::OverlayDirs},
    state::{
        attachment_dir::AttachmentDir, attachment_record::AttachmentRecord, directory,
        lower_dir::LowerDir,
    },
};

/// Of which mountpoint changes are listed.
#[derive(Clone, Debug)]
pub struct DiffOptions {
    /// Where it is, or was, attached.
    pub mountpoint: PathBuf,
    /// Which changes are listed: those at or below these paths; all without.
    pub paths: Vec<PathBuf>,
    /// The state directory.
    pub state: PathBuf,
}

/// Lists what was changed at a mountpoint, attached or not.
///
/// # Errors
///
/// When a path lies elsewhere, nothing is attached there and no changes are kept, changes are kept as
/// blocks, or the upper layer cannot be read.
pub fn diff(options: &DiffOptions) -> Result<DiffReport> {
    privilege::check("diff reads the extended attributes of overlayfs")?;
    let mountpoint = mountpoint::resolve(&options.mountpoint)?;
    let paths = Paths::of(&options.paths, &mountpoint)?;
    let shown = mountpoint.display();
    let Some(state) = directory::find(&options.state)? else {
        bail!("nothing was ever attached at {shown}");
    };
    let dir = AttachmentDir::new(&state, &mountpoint);
    let record = AttachmentRecord::load(&dir)?;
    if record.attachment.is_none() && record.changes.is_none() {
        bail!("nothing is attached at {shown}, and no changes are kept for it");
    }
    let Some(kept) = record.changes else {
        return Ok(DiffReport {
            mountpoint,
            export: None,
            exact: true,
            changes: Vec::new(),
        });
    };
    let Some(OverlayDirs { upper, .. }) = OverlayDirs::of(&dir, kept.upper) else {
        bail!("the changes at {shown} are blocks of a disk: run `git status` in the work tree");
    };
    let lower = LowerDir::shared(&state, &kept.export).mountpoint();
    let lower = Mounts::read()?.at(&lower).map(|_| lower);
    let mut changes = walk::changes(&upper, lower.as_deref())
        .with_context(|| format!("cannot read the changes in {}", upper.display()))?;
    changes.retain(|change| paths.have(change));
    Ok(DiffReport {
        mountpoint,
        export: Some(kept.export),
        exact: lower.is_some(),
        changes,
    })
}
