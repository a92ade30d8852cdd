//! `detach --force`: ending who is still inside.

use std::{
    fs,
    path::Path,
    process,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal};

use crate::attach::{
    layers::{
        holders::{Holder, holders, holders_of_device},
        process::Identity,
    },
    state::attachment_dir::Place,
};

/// How long who is asked to end may take, before it is killed.
const ASKED: Duration = Duration::from_secs(2);
const KILLED: Duration = Duration::from_secs(5);

/// Ends every process inside a mountpoint.
pub(crate) fn end_all_inside(place: &Place) -> Result<()> {
    end_all(|| holders(Path::new("/proc"), place.mountpoint()))
}

/// Ends every process inside a file system that is mounted nowhere.
pub(crate) fn end_all_on(device: &str) -> Result<()> {
    end_all(|| holders_of_device(Path::new("/proc"), device))
}

/// SIGTERM first; SIGKILL for those that stay, and for what they started
/// meanwhile.
fn end_all(inside: impl Fn() -> Vec<Holder>) -> Result<()> {
    refuse_ancestors(&inside())?;
    end(&inside(), (Signal::TERM, "SIGTERM"), ASKED);
    end(&inside(), (Signal::KILL, "SIGKILL"), KILLED);
    Ok(())
}

fn end(holders: &[Holder], signal: (Signal, &str), patience: Duration) {
    let (signal, name) = signal;
    let begun = Instant::now();
    let pids = holders.iter().filter_map(|holder| pid(holder.pid));
    let processes: Vec<_> = pids.filter_map(|pid| Identity::of(pid).ok()).collect();
    for process in &processes {
        tracing::info!("{name} to process {}", process.pid());
        // One that has ended meanwhile is what we want.
        let _sent = process.send(signal);
    }
    for process in &processes {
        process.wait(patience.saturating_sub(begun.elapsed()));
    }
}

/// Whoever called us would take us with it.
fn refuse_ancestors(holders: &[Holder]) -> Result<()> {
    let mut pid = process::id();
    while pid > 1 {
        if let Some(holder) = holders.iter().find(|holder| holder.pid == pid) {
            bail!("{holder} called this command: leave the directory (cd /), and call it again");
        }
        pid = parent(pid).unwrap_or(0);
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
    fn who_called_is_not_ended() {
        let holder = |pid| Holder {
            pid,
            name: "sh".into(),
            by: "cwd".into(),
            path: "/m".into(),
        };
        let caller = parent(process::id()).unwrap();
        let said = refuse_ancestors(&[holder(caller)]).unwrap_err().to_string();
        assert!(said.contains("leave the directory"), "{said}");
        refuse_ancestors(&[]).unwrap();
    }
}
