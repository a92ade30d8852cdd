//! What must be so before anything is made.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{
    diff,
    mounts::Mounts,
    place::Place,
    state::{Attachment, State},
    undo,
};
use crate::{nbd::client::Offer, uri::NbdUri};

/// The directory to attach at, as the kernel names it.
pub(super) fn mountpoint(mountpoint: &Path, state: &Path) -> Result<PathBuf> {
    let shown = mountpoint.display();
    let resolved = mountpoint
        .canonicalize()
        .with_context(|| format!("cannot attach at {shown}: make that directory first"))?;
    if !resolved.is_dir() {
        bail!("cannot attach at {shown}: it is not a directory");
    }
    if state.starts_with(&resolved) {
        let state = state.display();
        bail!(
            "the state directory {state} would vanish below {shown}: choose another with --state"
        );
    }
    Ok(resolved)
}

/// Refuses a mountpoint in use, and takes down what a crash left there.
pub(super) fn clear_the_way(place: &Place, state: &mut State) -> Result<()> {
    let shown = place.mountpoint().display();
    if let Some(attachment) = state.attachment.take() {
        refuse_in_use(place, &attachment)?;
        tracing::info!(
            "taking down what is left of {} at {shown}",
            attachment.export
        );
        if !undo::take_down(place, &attachment, false)? {
            bail!("what was attached at {shown} is still in use");
        }
        state.save(place)?;
    }
    let mut entries =
        fs::read_dir(place.mountpoint()).with_context(|| format!("cannot look into {shown}"))?;
    if entries.next().is_some() {
        bail!("cannot attach at {shown}: it is not empty");
    }
    Ok(())
}

fn refuse_in_use(place: &Place, attachment: &Attachment) -> Result<()> {
    let mounts = Mounts::read()?;
    let (export, shown) = (&attachment.export, place.mountpoint().display());
    let ours = |mount| undo::is_ours(place, mount, mounts.at(&place.lower()));
    if mounts.at(place.mountpoint()).is_some_and(ours) {
        bail!("{export} is attached at {shown} already: detach it first");
    }
    Ok(())
}

/// A diff means something only over the export that it was made over; one
/// without changes gives way.
pub(super) fn claim_diff(
    place: &Place,
    state: &mut State,
    uri: &NbdUri,
    export: &str,
) -> Result<()> {
    let other = state
        .diff
        .take_if(|kept| kept != export && diff::has_changes(place));
    let Some(kept) = other else {
        state.diff = Some(export.to_owned());
        return Ok(());
    };
    let shown = place.mountpoint().display();
    let uri = NbdUri {
        export: kept.clone(),
        ..uri.clone()
    };
    state.diff = Some(kept);
    bail!(
        "the changes kept for {shown} were made over another export: \
         go on with them by `blockd attach {uri} {shown}`, \
         or throw them away by `blockd detach --discard {shown}`"
    )
}

/// A disk has whole blocks, and a size that the kernel can hold.
pub(super) fn size(offer: &Offer) -> Result<()> {
    let (name, size) = (&offer.info.name, offer.info.size);
    if size == 0 || size % 4096 != 0 || i64::try_from(size).is_err() {
        bail!("{name} has {size} bytes: that is no disk of 4096-byte blocks");
    }
    Ok(())
}
