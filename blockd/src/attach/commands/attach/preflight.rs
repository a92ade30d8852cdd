//! What must be so before anything is made.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::attach::{
    commands::teardown::{self, Manner},
    layers::{
        mounts::Mounts,
        upper::{self, Upper},
    },
    state::{
        attachment_dir::Place,
        record::{Attachment, KeptDiff, State},
    },
};
use blockd_nbd::{client::Offer, uri::NbdUri};

/// The directory to attach at, as the kernel names it.
pub(crate) fn mountpoint(mountpoint: &Path, state: &Path) -> Result<PathBuf> {
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
pub(crate) fn clear_the_way(place: &Place, state: &mut State) -> Result<()> {
    let shown = place.mountpoint().display();
    if let Some(attachment) = state.attachment.take() {
        refuse_in_use(place, &attachment)?;
        tracing::info!(
            "taking down what is left of {} at {shown}",
            attachment.export
        );
        teardown::take_down(place, &attachment, Manner::Polite)?;
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
    let lower = attachment.lower(place);
    if teardown::shown(place, &lower, &mounts).is_some() {
        bail!("{export} is attached at {shown} already: detach it first");
    }
    Ok(())
}

/// Where the diff goes, and that it is one over this export: over another it
/// would mean nothing. One without changes gives way.
pub(crate) fn claim_diff(
    place: &Place,
    state: &mut State,
    uri: &NbdUri,
    wanted: (&str, Option<Upper>),
) -> Result<Upper> {
    let (export, asked) = wanted;
    let shown = place.mountpoint().display();
    let discard = format!("throw them away by `blockd detach --discard {shown}`");
    let Some(kept) = changed(place, state) else {
        let upper = asked.unwrap_or_default();
        let export = export.to_owned();
        state.diff = Some(KeptDiff { export, upper });
        return Ok(upper);
    };
    if kept.export != export {
        let uri = NbdUri {
            export: kept.export,
            ..uri.clone()
        };
        bail!(
            "the changes kept for {shown} were made over another export: \
             go on with them by `blockd attach {uri} {shown}`, or {discard}"
        );
    }
    if asked.is_some_and(|asked| !asked.is_beside(kept.upper)) {
        bail!(
            "the changes kept for {shown} are in --upper {}: leave --upper out to go on with \
             them, or {discard}",
            kept.upper
        );
    }
    Ok(kept.upper)
}

/// The diff of before, if it holds anything.
fn changed(place: &Place, state: &State) -> Option<KeptDiff> {
    let kept = state.diff.clone();
    kept.filter(|kept| upper::has_changes(place, kept.upper))
}

/// A disk has whole blocks, and a size that the kernel can hold.
pub(crate) fn size(offer: &Offer) -> Result<()> {
    let (name, size) = (&offer.info.name, offer.info.size);
    if size == 0 || size % 4096 != 0 || i64::try_from(size).is_err() {
        bail!("{name} has {size} bytes: that is no disk of 4096-byte blocks");
    }
    Ok(())
}
