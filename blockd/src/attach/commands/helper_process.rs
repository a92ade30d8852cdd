//! Helper processes: hidden subcommands of this program that run in the
//! background and outlive the command that starts them.

use std::{
    ffi::OsStr,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

/// Starts a hidden subcommand in a process group of its own, without input or
/// output.
///
/// # Errors
///
/// When the program cannot be started.
pub(crate) fn start(program: &Path, subcommand: &str, arguments: [&OsStr; 2]) -> Result<Child> {
    Command::new(program)
        .arg(subcommand)
        .args(arguments)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}
