//! `blockd hydrate`: copies the whole disk of an attachment to this host.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::{select, task::spawn_blocking, time::sleep};

use super::{
    mountpoint,
    status::{
        progress::Progress,
        relay::{RelayStatus, ask},
    },
};
use crate::{
    attach::state::{
        attachment_dir::AttachmentDir, attachment_record::AttachmentRecord, directory,
        lower_dir::LowerDir,
    },
    progress,
    relay::{self, CacheStatus, Hydration},
    signals::{EndSignals, HangUp},
};

/// How often the progress is asked for.
const INTERVAL: Duration = Duration::from_millis(200);

/// What is to be hydrated.
#[derive(Clone, Debug)]
pub struct HydrateOptions {
    /// Where it is attached.
    pub mountpoint: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// Wait until the whole disk is on this host.
    pub wait: bool,
    /// The most bytes that may be stored; `None`: the default of the relay.
    pub cache_size: Option<u64>,
}

/// The progress of a hydration.
#[derive(Clone, Debug, Serialize)]
pub struct HydrateReport {
    /// Where it is attached.
    pub mountpoint: PathBuf,
    /// Canonical name of the export.
    pub export: String,
    /// What is stored on this host.
    pub cache: CacheStatus,
}

impl fmt::Display for HydrateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mountpoint = self.mountpoint.display();
        write!(f, "{mountpoint}: {}", Progress(&self.cache))
    }
}

/// Starts the hydration of an attached disk, unless it is running already, and
/// waits for its end if that is asked for.
///
/// # Errors
///
/// When nothing is attached there, the disk is larger than what may be stored, the
/// relay does not answer, or the hydration ends before the whole disk is stored.
pub async fn hydrate(options: &HydrateOptions) -> Result<HydrateReport> {
    let mountpoint = mountpoint::resolve(&options.mountpoint)?;
    let (export, lower) = attached(options, &mountpoint)?;
    if let Some(RelayStatus::Silent { pid }) = ask(&lower) {
        bail!("the relay of {export}, process {pid}, runs but does not answer");
    }
    let (socket, size) = (lower.control_socket(), options.cache_size);
    let cache = spawn_blocking(move || relay::hydrate(&socket, size)).await??;
    let mut hydrated = HydrateReport {
        mountpoint,
        export,
        cache,
    };
    if options.wait {
        let bar = progress::bytes_bar(hydrated.cache.of).with_position(hydrated.cache.hydrated);
        // What was stored before does not count for the rate.
        bar.reset_eta();
        let mut signals = EndSignals::catch(HangUp::Ends)?;
        let ended = select! {
            biased;
            signal = signals.received() => Err(interrupted(signal, &hydrated)),
            cache = until_ended(&lower, &bar) => cache,
        };
        bar.finish_and_clear();
        hydrated.cache = ended?;
        if hydrated.cache.state != Hydration::Hydrated {
            bail!("{hydrated}");
        }
    }
    Ok(hydrated)
}

/// The export that is attached at a mountpoint, and its lower layer.
fn attached(options: &HydrateOptions, mountpoint: &Path) -> Result<(String, LowerDir)> {
    let nothing = || anyhow!("nothing is attached at {}", mountpoint.display());
    let state = directory::find(&options.state)?.ok_or_else(nothing)?;
    let dir = AttachmentDir::new(&state, mountpoint);
    let attachment = AttachmentRecord::load(&dir)?.attachment;
    let attachment = attachment.filter(|attachment| attachment.lingering.is_none());
    let attachment = attachment.ok_or_else(nothing)?;
    let lower = attachment.lower(&dir);
    Ok((attachment.export, lower))
}

fn interrupted(signal: &str, hydrated: &HydrateReport) -> anyhow::Error {
    let mountpoint = hydrated.mountpoint.display();
    anyhow!(
        "ended by {signal}; the hydration goes on in the background: \
         `blockd status {mountpoint}` shows its progress, and detach ends it"
    )
}

async fn until_ended(lower: &LowerDir, bar: &ProgressBar) -> Result<CacheStatus> {
    loop {
        let asked = lower.clone();
        match spawn_blocking(move || ask(&asked)).await? {
            Some(RelayStatus::Alive(figures)) => {
                let cache = figures.cache.context("the relay has ended the hydration")?;
                bar.set_position(cache.hydrated);
                if cache.state != Hydration::Hydrating {
                    return Ok(cache);
                }
            }
            Some(RelayStatus::Unreadable { reason }) => bail!("{reason}"),
            // A busy machine may keep it from answering for a while.
            Some(RelayStatus::Silent { .. }) => {}
            Some(RelayStatus::Dead) | None => {
                bail!("the relay has died, and its cache with it: detach, and attach again")
            }
        }
        sleep(INTERVAL).await;
    }
}
