//! `detach --force`: ending the processes that keep a mountpoint busy.

use std::{
    fs, io,
    path::Path,
    process,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use crate::attach::{
    layers::{
        holders::{Holder, holders, holders_of_device},
        process::Identity,
    },
    state::attachment_dir::AttachmentDir,
};

/// How long a process may take to end after SIGTERM, before it gets SIGKILL.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a process may take to end after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Ends every process that keeps a mountpoint busy.
///
/// # Errors
///
/// When one of them is an ancestor of this process, or may not be signalled.
pub(crate) fn end_users(dir: &AttachmentDir) -> Result<()> {
    end_all(|| holders(Path::new("/proc"), dir.mountpoint()))
}

/// Ends every process that uses a file system which is not mounted any more, by
/// its device number.
///
/// # Errors
///
/// Those of [`end_users`].
pub(crate) fn end_users_of_device(device: &str) -> Result<()> {
    end_all(|| holders_of_device(Path::new("/proc"), device))
}

/// SIGTERM first; then SIGKILL for those that have not ended, and for those they
/// have started meanwhile.
fn end_all(users: impl Fn() -> io::Result<Vec<Holder>>) -> Result<()> {
    let found = users()?;
    refuse_ancestors(&found)?;
    end(&found, (Signal::TERM, "SIGTERM"), TERMINATE_TIMEOUT)?;
    end(&users()?, (Signal::KILL, "SIGKILL"), KILL_TIMEOUT)
}

fn end(holders: &[Holder], signal: (Signal, &str), timeout: Duration) -> Result<()> {
    let (signal, name) = signal;
    let start = Instant::now();
    let pids = holders.iter().filter_map(|holder| pid(holder.pid));
    // One that has ended meanwhile has no identity.
    let processes: Vec<_> = pids.filter_map(|pid| Identity::of(pid).ok()).collect();
    for process in &processes {
        let pid = process.pid();
        tracing::info!("{name} to process {pid}");
        let sent = process.send(signal);
        sent.with_context(|| format!("cannot send {name} to process {pid}"))?;
    }
    for process in &processes {
        // The time that is left for all of them together.
        process.wait(timeout.saturating_sub(start.elapsed()))?;
    }
    Ok(())
}

/// Refuses to end init, which would end everything, and a process that called this
/// command: it would end this command too.
fn refuse_ancestors(holders: &[Holder]) -> Result<()> {
    if let Some(init) = holders.iter().find(|holder| holder.pid == 1) {
        bail!("{init} is init, which is not killed: give --lazy in place of --force");
    }
    let mut pid = process::id();
    while pid > 1 {
        if let Some(holder) = holders.iter().find(|holder| holder.pid == pid) {
            bail!("{holder} called this command: leave the directory (cd /) and run it again");
        }
        // An ancestor that has ended meanwhile has left its children to init.
        let Some(parent) = parent(pid) else { break };
        pid = parent;
    }
    Ok(())
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(id.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_not_ended() {
        let holder = |pid| Holder {
            pid,
            name: "sh".into(),
            by: "cwd".into(),
            path: "/m".into(),
        };
        let caller = parent(process::id()).unwrap();
        let error = refuse_ancestors(&[holder(caller)]).unwrap_err();
        assert!(error.to_string().contains("leave the directory"), "{error}");
        let error = refuse_ancestors(&[holder(1)]).unwrap_err();
        assert!(error.to_string().contains("is init"), "{error}");
        refuse_ancestors(&[]).unwrap();
    }
}
