//! Changes that are made with `attach --volatile`: when they count as kept, and when
//! they may be incomplete.

use anyhow::{Result, bail};

use crate::attach::{
    layers::{holders::Holder, volatile},
    state::{
        attachment_dir::AttachmentDir, attachment_record::AttachmentRecord, upper_kind::UpperKind,
    },
};

/// Writes changes to storage that were made volatile during this boot, after they
/// were unmounted; from then on they are as any others. The record is not saved.
/// Returns a process of another mount namespace that still has them mounted, if there
/// is one: nothing was done then.
///
/// # Errors
///
/// When they cannot be written.
pub(crate) fn settle(dir: &AttachmentDir, record: &mut AttachmentRecord) -> Result<Option<Holder>> {
    let is_unmounted = record.attachment.is_none();
    let Some(kept) = record.changes.as_mut().filter(|_| is_unmounted) else {
        return Ok(None);
    };
    if kept.upper != UpperKind::Volatile || kept.may_be_incomplete()? {
        return Ok(None);
    }
    let holder = volatile::sync(dir)?;
    if holder.is_none() {
        kept.set_synced();
    }
    Ok(holder)
}

/// The same before an attach, which goes on with these changes; those that may be
/// incomplete it takes with `accept_loss` only.
///
/// # Errors
///
/// When they may be incomplete, are mounted in another namespace, or cannot be
/// written.
pub(crate) fn claim(
    dir: &AttachmentDir,
    record: &mut AttachmentRecord,
    accept_loss: bool,
) -> Result<()> {
    let shown = dir.mountpoint().display();
    if let Some(holder) = settle(dir, record)? {
        bail!("the changes kept for {shown} are still mounted by {holder}: end that first");
    }
    let Some(kept) = &mut record.changes else {
        return Ok(());
    };
    if !kept.may_be_incomplete()? {
        return Ok(());
    }
    if !accept_loss {
        bail!(
            "the changes kept for {shown} were made with --volatile, and the machine went down \
             before they were detached: files may be missing, old or torn. Discard them with \
             `blockd detach --discard {shown}`, or take them as they are with --accept-loss"
        );
    }
    volatile::remove_mark(dir)?;
    kept.set_synced();
    Ok(())
}
