//! `blockd attach`: mounts an export as a work tree, completely or not at all.

mod file_time;
pub(crate) mod options;
mod preflight;
pub(crate) mod report;
mod search;
mod servers;
mod steps;

use anyhow::{Result, bail};
use tokio::{runtime::Builder, select};

use self::{options::AttachOptions, report::AttachReport, steps::Steps};
use super::{
    detach, privilege,
    teardown::{self, DetachMode},
    volatile,
};
use crate::{
    attach::{
        layers::{self, git_hook, step_times::StepTimes, target::Target},
        state::{
            attachment_dir::AttachmentDir, attachment_record::AttachmentRecord, directory,
            lock::Lock, upper_kind::UpperKind,
        },
    },
    signals::{EndSignals, HangUp},
};

/// Attaches an export at a mountpoint. When it fails, or is ended by a signal,
/// nothing of it is left.
///
/// It blocks and has a runtime of its own: it must not be called from a task of
/// another.
///
/// # Errors
///
/// When the mountpoint is in use or not empty, no server has the export, changes
/// are kept for another export, or a layer cannot be put up.
pub fn attach(options: &AttachOptions) -> Result<AttachReport> {
    let times = StepTimes::start();
    privilege::check("attach mounts file systems")?;
    let mountpoint = preflight::mountpoint(&options.mountpoint, &options.state)?;
    let state = directory::open(&options.state)?;
    let dir = AttachmentDir::new(&state, &mountpoint);
    let _lock = Lock::attachment(&dir)?;
    let mut record = AttachmentRecord::load(&dir)?;
    let target = prepare(options, &dir, &mut record)?;
    let mut steps = Steps {
        options,
        dir,
        target,
        record,
        times,
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let attached = runtime.block_on(async {
        let mut signals = EndSignals::catch(HangUp::Ends)?;
        select! {
            biased;
            signal = signals.received() => bail!("ended by {signal}"),
            attached = steps.run() => attached,
        }
    });
    runtime.shutdown_background();
    // What is open on the mountpoint keeps what is mounted around it busy.
    drop(steps.target);
    attached.map_err(|error| clean_up(error, &steps.dir, steps.record))
}

/// Brings the mountpoint, and the changes that are kept for it, into order. Directories
/// that it made are gone when it fails.
fn prepare(
    options: &AttachOptions,
    dir: &AttachmentDir,
    record: &mut AttachmentRecord,
) -> Result<Target> {
    let made = preflight::make_mountpoint(dir, record);
    let has_made = !matches!(made, Ok(false));
    let prepared = made.and_then(|_| {
        let target = preflight::clear_mountpoint(dir, record)?;
        if !options.read_only {
            volatile::claim(dir, record, options.accept_loss)?;
        }
        if options.upper == Some(UpperKind::Volatile) {
            layers::volatile::sync_directories(dir)?;
        }
        Ok(target)
    });
    if prepared.is_err() && has_made {
        // What was written down: `record` may be in the midst of a change.
        let mut record = AttachmentRecord::load(dir)?;
        detach::remove_made(dir, &mut record);
        record.save_or_remove(dir)?;
    }
    prepared
}

/// Takes down what was put up before `error`.
fn clean_up(
    error: anyhow::Error,
    dir: &AttachmentDir,
    mut record: AttachmentRecord,
) -> anyhow::Error {
    let mut clean_up = || {
        if let Some(attachment) = record.attachment.take() {
            teardown::take_down(dir, &attachment, DetachMode::FailIfBusy)?;
            git_hook::remove(dir);
        }
        volatile::settle(dir, &mut record)?;
        detach::remove_unused_changes(dir, &mut record, false)?;
        detach::remove_made(dir, &mut record);
        record.save_or_remove(dir)?;
        detach::remove_discarded(dir)
    };
    match clean_up() {
        Ok(()) => error,
        Err(left) => error.context(format!(
            "the attach failed, and so did its cleanup ({left:#}): run `blockd detach {}`",
            dir.mountpoint().display()
        )),
    }
}
