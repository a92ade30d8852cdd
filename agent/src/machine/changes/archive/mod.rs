//! The archive of changes: a gzipped tar, which GNU tar packs and unpacks.
//!
//! Changed blocks, databases and disks of virtual machines are sparse files. Their
//! holes are neither read nor stored (`SEEK_HOLE`, as GNU's sparse format 1.0 in a
//! POSIX archive), and are holes again afterwards. The POSIX format also has times
//! to the nanosecond, names of any length, and the extended attributes and device
//! files by which overlayfs records removed and renamed files.
//!
//! gzip at its fastest, and not zstd: an agent of the last release, to which a
//! machine may be rolled back, goes on with an archive of this one.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tracing::warn;

/// Both ways: all attributes, and owners by number, whatever users this machine has.
const BOTH: [&str; 3] = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];
const PACK: [&str; 5] = [
    "--create",
    "--use-compress-program=gzip -1",
    "--format=posix",
    "--sparse",
    "--one-file-system",
];
const UNPACK: [&str; 2] = ["--extract", "--gzip"];

/// Packs a directory. Sockets are left out, and the log names them: a process that
/// listened there has ended.
///
/// # Errors
///
/// When a file cannot be read, or changes meanwhile.
pub(super) async fn pack(directory: &Path, archive: &Path) -> Result<()> {
    tar(&PACK, directory, archive, &["."]).await
}

/// Unpacks an archive of this release or of the last one into a directory.
///
/// # Errors
///
/// When the archive is damaged, or a file cannot be written.
pub(super) async fn unpack(archive: &Path, directory: &Path) -> Result<()> {
    tar(&UNPACK, directory, archive, &[]).await
}

async fn tar(options: &[&str], directory: &Path, archive: &Path, members: &[&str]) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(options).args(BOTH).arg("--file").arg(archive);
    tar.arg("--directory").arg(directory).args(members);
    let output = tar.kill_on_drop(true).output().await;
    let output = output.context("cannot run tar")?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "tar {} failed ({}): {}",
        options[0],
        output.status,
        messages.trim()
    );
    for message in messages.lines() {
        warn!("{message}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
