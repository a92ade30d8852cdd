//! A small process that waits until a device is not in use any more.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::setsid;

use crate::{
    attach::{commands::helper_process, layers::lower::release, state::lower_dir::Lower},
    cli::attach::SettleArgs,
    relay::inherit_nothing,
};

/// The hidden subcommand `settle`: takes a lower layer down when nobody uses
/// its device any more.
pub fn settle(args: &SettleArgs) -> Result<()> {
    // Fails where we lead a session already, which is as good.
    let _left = setsid();
    release::settle(&Lower::with_key(&args.state, &args.key))
}

pub(crate) fn start(program: &Path, lower: &Lower) -> Result<()> {
    inherit_nothing().context("cannot close the caller's files")?;
    let key = lower.directory().file_name().unwrap_or_default();
    let child = helper_process::start(program, "settle", [lower.state().as_os_str(), key])?;
    // It outlives us.
    drop(child);
    Ok(())
}
