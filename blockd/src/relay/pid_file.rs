//! Which process this is, for those who will end it: a process id alone is
//! used again, after a while and after a reboot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// A file with the process id, when the process started (field 22 of
/// `proc_pid_stat(5)`) and the boot's id. Removed when dropped.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    pub(super) fn write(path: &Path) -> Result<Self> {
        let text = format!("{} {} {}\n", std::process::id(), started()?, boot()?);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A relay that took our place has written its own.
        let ours = format!("{} ", std::process::id());
        if fs::read_to_string(&self.0).is_ok_and(|text| text.starts_with(&ours)) {
            let _removed = fs::remove_file(&self.0);
        }
    }
}

fn started() -> Result<String> {
    let stat = fs::read_to_string("/proc/self/stat").context("cannot read /proc/self/stat")?;
    // The second field is the name in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let started = fields.split_whitespace().nth(19);
    Ok(started.context("/proc/self/stat is short")?.to_owned())
}

fn boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(id.trim().to_owned())
}
