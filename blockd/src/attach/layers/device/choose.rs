//! Which kind of block device is used.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::{nbd_client, probe};
use crate::attach::{layers::programs, state::via::Via};

const REQUESTED: &str = "it was asked for";

/// What was chosen, and why.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) via: Via,
    pub(crate) reason: &'static str,
}

/// The kind that was requested, else the kernel's nbd where there is one, else
/// FUSE. A module of the kernel is loaded if need be.
///
/// # Errors
///
/// When this host does not have what was requested, or neither.
pub(crate) async fn choose(requested: Option<Via>) -> Result<Choice> {
    let choice = |via, reason| Choice { via, reason };
    match requested {
        Some(Via::Nbd) => match nbd_obstacle().await {
            None => Ok(choice(Via::Nbd, REQUESTED)),
            Some(obstacle) => bail!("--via nbd: {obstacle}"),
        },
        Some(Via::Fuse) => {
            check_fuse().context("--via fuse")?;
            Ok(choice(Via::Fuse, REQUESTED))
        }
        None => match nbd_obstacle().await {
            None => Ok(choice(Via::Nbd, "this kernel has nbd")),
            Some(obstacle) => {
                check_fuse().context(obstacle)?;
                Ok(choice(Via::Fuse, obstacle))
            }
        },
    }
}

/// Why the kernel's NBD client cannot be used here.
async fn nbd_obstacle() -> Option<&'static str> {
    if programs::find(nbd_client::PROGRAM).is_none() {
        return Some("nbd-client is not installed (Debian's package nbd-client)");
    }
    if !probe::has_nbd() && probe::has_nbd_module() {
        load_nbd().await;
    }
    (!probe::has_nbd()).then_some("this kernel has no nbd")
}

/// Whether it was loaded is to be looked up: without `CAP_SYS_MODULE`, or in
/// a container, modprobe(8) fails.
async fn load_nbd() {
    let Some(modprobe) = programs::find("modprobe") else {
        return;
    };
    let loaded = Command::new(modprobe)
        .args(["nbd", "nbds_max=64", "max_part=0"])
        .stderr(Stdio::null())
        .status()
        .await;
    tracing::debug!("modprobe nbd: {loaded:?}");
}

fn check_fuse() -> Result<()> {
    probe::open_fuse().map(drop).context(
        "FUSE cannot be used either: load the kernel's fuse module, or in a container pass the \
         device in (docker run --device /dev/fuse)",
    )
}
