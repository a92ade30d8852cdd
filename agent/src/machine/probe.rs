//! What this machine's kernel offers: asked by doing, since documents differ.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde::{Deserialize, Serialize};
use tokio::{process::Command, time::timeout};

/// How long the kernel may take to load a module.
const MODPROBE: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Probe {
    /// `uname -r`.
    pub kernel: String,
    /// The effective capabilities, as the kernel writes them.
    pub capabilities: String,
    /// Free bytes where changes are kept.
    pub free: u64,
    /// Each thing, and what stands in its way; an empty sentence is: nothing.
    pub obstacles: BTreeMap<String, String>,
}

impl Probe {
    /// Looks; `state` is where changes shall be kept.
    pub async fn take(state: &Path) -> Self {
        let nbd = module("nbd", "/sys/block/nbd0").await;
        let ublk = module("ublk_drv", "/dev/ublk-control").await;
        let found = [
            ("nbd", nbd),
            ("ublk", ublk),
            ("fuse", opens("/dev/fuse")),
            ("loop", opens("/dev/loop-control")),
            ("overlay", overlay(state)),
        ];
        let told = found.map(|(name, outcome)| {
            let obstacle = outcome.err().map(|error| format!("{error:#}"));
            (name.to_owned(), obstacle.unwrap_or_default())
        });
        Self {
            kernel: text("/proc/sys/kernel/osrelease"),
            capabilities: capabilities(),
            free: rustix::fs::statvfs(state).map_or(0, |all| all.f_bavail * all.f_frsize),
            obstacles: told.into(),
        }
    }

    /// Whether it works.
    pub fn has(&self, name: &str) -> bool {
        self.obstacles.get(name).is_some_and(String::is_empty)
    }

    /// Why no repository could be attached; nothing when one can.
    pub fn obstacle(&self) -> Option<String> {
        let told = |name: &str| self.obstacles.get(name).cloned().unwrap_or_default();
        if !self.has("overlay") {
            return Some(format!("overlay: {}", told("overlay")));
        }
        let disk = self.has("nbd") || (self.has("fuse") && self.has("loop"));
        (!disk).then(|| {
            format!(
                "nbd: {}; fuse: {}; loop: {}",
                told("nbd"),
                told("fuse"),
                told("loop")
            )
        })
    }
}

async fn module(name: &str, sign: &str) -> Result<()> {
    if Path::new(sign).exists() {
        return Ok(());
    }
    let loaded = Command::new("modprobe")
        .arg(name)
        .kill_on_drop(true)
        .output();
    let loaded = timeout(MODPROBE, loaded).await;
    let loaded = loaded.context("modprobe does not end")?;
    let loaded = loaded.context("there is no modprobe")?;
    let told = String::from_utf8_lossy(&loaded.stderr).trim().to_owned();
    ensure!(loaded.status.success(), "{told}");
    ensure!(
        Path::new(sign).exists(),
        "the module is there, {sign} is not"
    );
    Ok(())
}

fn opens(device: &str) -> Result<()> {
    let opened = OpenOptions::new().read(true).write(true).open(device);
    opened.map(drop).with_context(|| device.to_owned())
}

/// An overlay whose upper layer lies where changes shall be kept.
fn overlay(state: &Path) -> Result<()> {
    let folder = state.join("probe");
    let made = probe_overlay(&folder);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            made.and(Err(error).context("the probe cannot be removed"))
        }
        _ => made,
    }
}

fn probe_overlay(folder: &Path) -> Result<()> {
    let path = |name: &str| folder.join(name);
    for name in ["lower", "upper", "work", "both"] {
        fs::create_dir_all(path(name))?;
    }
    fs::write(path("lower").join("file"), "below")?;
    let options = format!(
        "lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work,metacopy=on,redirect_dir=on,xino=on",
        folder.display()
    );
    let options = std::ffi::CString::new(options)?;
    mount(
        "overlay",
        path("both"),
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .context("cannot mount one")?;
    let written = fs::write(path("both").join("file"), "above");
    unmount(path("both"), UnmountFlags::DETACH)?;
    written?;
    ensure!(
        fs::read(path("lower").join("file"))? == b"below",
        "a change went through to the lower layer"
    );
    Ok(())
}

fn text(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

fn capabilities() -> String {
    let status = text("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::Probe;

    fn probe(obstacles: &[(&str, &str)]) -> Probe {
        let obstacles = obstacles
            .iter()
            .map(|(name, told)| ((*name).into(), (*told).into()));
        Probe {
            kernel: String::new(),
            capabilities: String::new(),
            free: 0,
            obstacles: obstacles.collect(),
        }
    }

    #[test]
    fn a_disk_comes_by_nbd_or_by_fuse_and_loop() {
        let no = "no";
        for (nbd, fuse, loop_device, overlay, can) in [
            ("", no, no, "", true),
            (no, "", "", "", true),
            (no, "", no, "", false),
            (no, no, "", "", false),
            ("", "", "", no, false),
        ] {
            let all = [
                ("nbd", nbd),
                ("fuse", fuse),
                ("loop", loop_device),
                ("overlay", overlay),
            ];
            assert_eq!(probe(&all).obstacle().is_none(), can, "{all:?}");
        }
        assert!(probe(&[]).obstacle().is_some());
    }

    #[tokio::test]
    async fn this_machine_is_looked_at() {
        let state = tempfile::tempdir().unwrap();
        let found = Probe::take(state.path()).await;
        assert!(!found.kernel.is_empty());
        assert_eq!(found.obstacles.len(), 5);
        assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
