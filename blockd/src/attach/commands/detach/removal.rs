//! Removing what was discarded, after the mountpoint is free.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    runtime::Builder,
    select,
    task::spawn_blocking,
    time::{Instant, interval_at},
};

use crate::{
    attach::{layers::discarded, state::attachment_dir::AttachmentDir},
    progress,
    signals::{EndSignals, HangUp},
};

/// How long it may take without showing that it goes on.
const QUIET: Duration = Duration::from_secs(1);
/// How often the progress is shown.
const INTERVAL: Duration = Duration::from_millis(200);

/// Removes what was discarded of a mountpoint, also by a detach that was ended. No
/// lock is needed: it may be attached there again meanwhile.
///
/// # Errors
///
/// When a file cannot be removed, or a signal ends it; the next detach goes on.
pub(crate) fn remove_discarded(dir: &AttachmentDir) -> Result<()> {
    if !dir.discarded().exists() {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let removed = runtime.block_on(remove(dir));
    runtime.shutdown_background();
    removed
}

async fn remove(dir: &AttachmentDir) -> Result<()> {
    let mut signals = EndSignals::catch(HangUp::Ends)?;
    let removed = Arc::new(AtomicU64::new(0));
    let removal = {
        let (dir, removed) = (dir.clone(), Arc::clone(&removed));
        spawn_blocking(move || discarded::remove(&dir, &removed))
    };
    let bar = progress::count_bar("removing discarded changes:");
    let mut ticks = interval_at(Instant::now() + QUIET, INTERVAL);
    tokio::pin!(removal);
    let shown = dir.mountpoint().display();
    let result = loop {
        select! {
            biased;
            signal = signals.received() => bail!(
                "ended by {signal}: {shown} is detached and its changes are discarded; \
                 `blockd detach {shown}` removes the files that are left of them"
            ),
            result = &mut removal => break result?,
            _ = ticks.tick() => bar.set_position(removed.load(Ordering::Relaxed)),
        }
    };
    bar.finish_and_clear();
    result.with_context(|| {
        let left = dir.discarded();
        format!(
            "{shown} is detached, and its changes are discarded; cannot remove {}",
            left.display()
        )
    })
}
