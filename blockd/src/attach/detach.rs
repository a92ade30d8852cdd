//! `blockd detach`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{
    DetachOptions, Detached, diff,
    holders::holders,
    place::Place,
    privilege,
    state::{Lock, State},
    undo,
};

/// Detaches what is attached at a mountpoint, or what a failed or killed
/// attach left there; nothing there is no error, so it may be called twice.
pub fn detach(options: &DetachOptions) -> Result<Detached> {
    privilege::check("detach unmounts file systems")?;
    let mountpoint = resolve(&options.mountpoint)?;
    let place = Place::new(&options.state, &mountpoint);
    let mut detached = Detached {
        mountpoint,
        ..Detached::default()
    };
    if !place.directory().exists() {
        return Ok(detached);
    }
    let _lock = Lock::take(&place)?;
    let mut state = State::load(&place)?;
    if let Some(mut attachment) = state.attachment.take() {
        detached.export = Some(attachment.export.clone());
        if options.lazy {
            detached.holders = holders(Path::new("/proc"), place.mountpoint());
        }
        attachment.lingering = !undo::take_down(&place, &attachment, options.lazy)?;
        state.attachment = attachment.lingering.then_some(attachment);
        state.save(&place)?;
    }
    if options.discard {
        if state.attachment.is_some() {
            bail!("processes still use the changes: discard them when the last has left");
        }
        diff::discard(&place)?;
    }
    if state.diff.is_some() && !diff::has_changes(&place) {
        state.diff = None;
        state.save(&place)?;
    }
    detached.diff = state.diff;
    Ok(detached)
}

/// The path as the kernel shows it; one that cannot be looked at any more
/// stays as it is.
pub(super) fn resolve(mountpoint: &Path) -> Result<PathBuf> {
    mountpoint
        .canonicalize()
        .or_else(|_| std::path::absolute(mountpoint))
        .with_context(|| format!("cannot find {}", mountpoint.display()))
}
