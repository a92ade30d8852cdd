//! Processes as `/proc` shows them.

use std::{fs, process::Command};

pub(crate) fn signal(name: &str, pid: u32) {
    let pid = pid.to_string();
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid])
        .status();
    assert!(sent.unwrap().success(), "SIG{name} to {pid}");
}

/// The state of a process, if it exists; Z is one that ended and is not reaped.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    fields(pid)?.first()?.chars().next()
}

/// The children of a process, also those that have ended and are not reaped.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse().ok());
    let own = |pid: &u32| fields(*pid).is_some_and(|fields| fields[1] == parent.to_string());
    pids.filter(own).collect()
}

/// How many bytes of memory it has.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

/// How many files and sockets it has open.
pub(crate) fn open_files(pid: u32) -> usize {
    let folder = format!("/proc/{pid}/fd");
    // The size is their number since Linux 6.2. The names are root's to read.
    match fs::metadata(&folder).unwrap().len() {
        0 => fs::read_dir(&folder).unwrap().count(),
        files => usize::try_from(files).unwrap(),
    }
}

/// The fields of `/proc/PID/stat` from the third on: state, parent, and more.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}
