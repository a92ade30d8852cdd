//! A block device with the export's bytes: the kernel's nbd, or where there is
//! none, a one-file FUSE file system and a loop device.

pub(crate) mod loop_device;
pub(crate) mod nbd;
pub(crate) mod nbd_client;

use std::fs::OpenOptions;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How the blocks get into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The kernel's nbd through stock `nbd-client`.
    Nbd,
    /// A one-file FUSE file system and a loop device.
    Fuse,
}

impl Via {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Nbd => "the kernel's nbd",
            Self::Fuse => "FUSE and a loop device",
        }
    }
}

/// What was chosen, and why.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) via: Via,
    pub(crate) why: &'static str,
}

/// The first rung of the ladder that bears, or the one that is asked for.
pub(crate) async fn choose(asked: Option<Via>) -> Result<Choice> {
    let no_nbd = match asked {
        Some(Via::Fuse) => Some("it was asked for"),
        _ => nbd::obstacle().await,
    };
    match (asked, no_nbd) {
        (Some(Via::Nbd), Some(obstacle)) => bail!("--via nbd: {obstacle}"),
        (Some(Via::Nbd), None) => Ok(Choice {
            via: Via::Nbd,
            why: "it was asked for",
        }),
        (None, None) => Ok(Choice {
            via: Via::Nbd,
            why: "this kernel has nbd",
        }),
        (asked, Some(why)) => fuse_opens()
            .map(|()| Choice {
                via: Via::Fuse,
                why,
            })
            .map_err(|error| match asked {
                Some(_) => error.context("--via fuse"),
                None => error.context(why),
            }),
        (Some(Via::Fuse), None) => Err(anyhow!("unreachable: FUSE was asked for")),
    }
}

fn fuse_opens() -> Result<()> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    opened.map(drop).context("cannot open /dev/fuse either: load the kernel's fuse module, or in a container pass the device in (docker run --device /dev/fuse)")
}
