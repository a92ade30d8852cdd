//! `blockd hydrate`: the disk of an attachment, brought to this host.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::{select, task::spawn_blocking, time::sleep};

use crate::{
    attach::{
        commands::{
            detach::resolve,
            status::{Progress, RelayStatus, ask},
        },
        state::{attachment_dir::Place, directory, lower_dir::Lower, record::State},
    },
    progress,
    relay::{self, CacheStatus, Hydration},
    signals::{EndSignals, HangUp},
};

/// How often it is looked how far it is.
const GLANCE: Duration = Duration::from_millis(200);

/// What is asked.
#[derive(Clone, Debug)]
pub struct HydrateOptions {
    /// Where it is attached.
    pub mountpoint: PathBuf,
    /// Where attachments and diffs are kept.
    pub state: PathBuf,
    /// Wait until all is here.
    pub wait: bool,
    /// The most that may be stored; `None`: what the relay was started with.
    pub cache_size: Option<u64>,
}

/// How far it is.
#[derive(Clone, Debug, Serialize)]
pub struct Hydrated {
    /// Where it is attached.
    pub mountpoint: PathBuf,
    /// The canonical name.
    pub export: String,
    /// What is here.
    pub cache: CacheStatus,
}

impl fmt::Display for Hydrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mountpoint = self.mountpoint.display();
        write!(f, "{mountpoint}: {}", Progress(&self.cache))
    }
}

/// Has the relay of an attachment hydrate, if it does not yet, and waits for
/// the end if that is asked for.
///
/// # Errors
///
/// A sentence: nothing is attached there, it does not fit, or the end is not
/// that all is here.
pub async fn hydrate(options: &HydrateOptions) -> Result<Hydrated> {
    let mountpoint = resolve(&options.mountpoint)?;
    let (export, lower) = attached(options, &mountpoint)?;
    if let Some(RelayStatus::Silent { pid }) = ask(&lower) {
        bail!("the relay of {export}, process {pid}, runs and does not answer");
    }
    let (socket, most) = (lower.control_socket(), options.cache_size);
    let begun = async { spawn_blocking(move || relay::hydrate(&socket, most)).await? };
    let mut hydrated = Hydrated {
        cache: begun.await?,
        mountpoint,
        export,
    };
    if options.wait {
        let bar = progress::bytes_bar(hydrated.cache.of).with_position(hydrated.cache.hydrated);
        // What was here before says nothing of the rate.
        bar.reset_eta();
        let mut signals = EndSignals::catch(HangUp::Ends)?;
        let done = select! {
            biased;
            signal = signals.received() => Err(goes_on(signal, &hydrated)),
            cache = until_the_end(&lower, &bar) => cache,
        };
        bar.finish_and_clear();
        hydrated.cache = done?;
        if hydrated.cache.state != Hydration::Hydrated {
            bail!("{hydrated}");
        }
    }
    Ok(hydrated)
}

/// The export at a mountpoint, and its lower layer.
fn attached(options: &HydrateOptions, mountpoint: &Path) -> Result<(String, Lower)> {
    let nothing = || anyhow!("nothing is attached at {}", mountpoint.display());
    let state = directory::find(&options.state)?.ok_or_else(nothing)?;
    let place = Place::new(&state, mountpoint);
    let attachment = State::load(&place)?.attachment;
    let attachment = attachment.filter(|attachment| attachment.lingering.is_none());
    let attachment = attachment.ok_or_else(nothing)?;
    let lower = attachment.lower(&place);
    Ok((attachment.export, lower))
}

fn goes_on(name: &str, hydrated: &Hydrated) -> anyhow::Error {
    let mountpoint = hydrated.mountpoint.display();
    anyhow!(
        "ended by {name}; the hydration goes on in the background: \
         `blockd status {mountpoint}` says how far it is, and detach ends it"
    )
}

async fn until_the_end(lower: &Lower, bar: &ProgressBar) -> Result<CacheStatus> {
    loop {
        let asked = lower.clone();
        match spawn_blocking(move || ask(&asked)).await? {
            Some(RelayStatus::Alive(figures)) => {
                let cache = figures.cache.context("the relay hydrates no more")?;
                bar.set_position(cache.hydrated);
                if cache.state != Hydration::Hydrating {
                    return Ok(cache);
                }
            }
            Some(RelayStatus::Unreadable { reason }) => bail!("{reason}"),
            // It may be stopped for a while.
            Some(RelayStatus::Silent { .. }) => {}
            Some(RelayStatus::Dead) | None => bail!("the relay has died, and the cache with it"),
        }
        sleep(GLANCE).await;
    }
}
