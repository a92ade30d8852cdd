//! `blockd detach`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::attach::{
    commands::{
        options::{DetachOptions, Detached},
        privilege, reap,
        teardown::{self, Left, Manner},
    },
    layers::{holders::holders, lower::release::Ended, upper},
    state::{
        attachment_dir::Place,
        directory,
        lock::Lock,
        lower_dir::Lower,
        record::{Attachment, KeptDiff, State},
    },
};

/// Detaches what is attached at a mountpoint, or what a failed or killed
/// attach left there; nothing there is no error, so it may be called twice.
pub fn detach(options: &DetachOptions) -> Result<Detached> {
    privilege::check("detach unmounts file systems")?;
    let mountpoint = resolve(&options.mountpoint)?;
    let mut detached = Detached {
        mountpoint,
        ..Detached::default()
    };
    let Some(state) = directory::find(&options.state)? else {
        return Ok(detached);
    };
    let place = Place::new(&state, &detached.mountpoint);
    if !place.directory().exists() {
        return Ok(detached);
    }
    let _lock = Lock::of_place(&place)?;
    let mut state = State::load(&place)?;
    if let Some(attachment) = state.attachment.take() {
        detached.export = Some(attachment.export.clone());
        state.attachment = take_down(options, &place, attachment, &mut detached)?;
    }
    let kept = tidy(&place, &mut state, options.discard);
    written_down(state.save_or_forget(&place))?;
    kept?;
    if let Some(kept) = state.diff {
        (detached.diff, detached.upper) = (Some(kept.export), Some(kept.upper));
    }
    Ok(detached)
}

/// Takes an attachment down, and says what lingers of it.
fn take_down(
    options: &DetachOptions,
    place: &Place,
    attachment: Attachment,
    detached: &mut Detached,
) -> Result<Option<Attachment>> {
    if options.manner() == Manner::Lazy {
        detached.holders = holders(Path::new("/proc"), place.mountpoint());
    }
    let Left { overlay, lower } = teardown::take_down(place, &attachment, options.manner())?;
    if lower == Ended::Busy {
        reap::start(&options.program, &attachment.lower(place))?;
        detached.settling = true;
    }
    Ok(overlay.map(|device| Attachment {
        lingering: Some(device),
        ..attachment
    }))
}

/// Drops a diff that is not wanted, or in which nothing is.
pub(crate) fn tidy(place: &Place, state: &mut State, discard: bool) -> Result<()> {
    if state.attachment.is_some() {
        if discard {
            bail!("processes still use the changes: discard them when the last has left");
        }
        return Ok(());
    }
    let in_use = Lower::own(place).directory().exists();
    if in_use && discard {
        bail!("processes still use the changes: discard them when the last has left");
    }
    let is_kept = |kept: &KeptDiff| upper::has_changes(place, kept.upper);
    if discard || !state.diff.as_ref().is_some_and(is_kept) {
        upper::discard(place)?;
        state.diff = None;
    }
    Ok(())
}

/// Where the disk is full all is taken down as well; that it may be there is
/// then written, and it is looked up what is.
fn written_down(saved: Result<()>) -> Result<()> {
    let Err(error) = saved else { return Ok(()) };
    if !directory::is_full(&error) {
        return Err(error);
    }
    tracing::warn!("the state is written down when there is room again: {error:#}");
    Ok(())
}

/// The path as the kernel shows it; one that cannot be looked at any more
/// stays as it is.
pub(crate) fn resolve(mountpoint: &Path) -> Result<PathBuf> {
    mountpoint
        .canonicalize()
        .or_else(|_| std::path::absolute(mountpoint))
        .with_context(|| format!("cannot find {}", mountpoint.display()))
}
