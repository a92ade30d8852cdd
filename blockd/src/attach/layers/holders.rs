//! Who keeps a mount busy: the processes with a directory, root, program,
//! mapping or open file below it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde::Serialize;

use crate::attach::layers::mounts::{Mount, Mounts};

/// A process that is still inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
    /// What it holds: `cwd`, `root`, `exe`, `maps`, `fd`.
    pub by: String,
    /// The path that it holds.
    pub path: PathBuf,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid,
            name,
            by,
            path,
        } = self;
        write!(f, "{name} (process {pid}, {by} {})", path.display())
    }
}

/// Finds the processes inside `mountpoint`; `proc` is `/proc`.
///
/// Only links are read, nothing inside the mount is touched: this does not
/// hang where the mount does.
pub(crate) fn holders(proc: &Path, mountpoint: &Path) -> Vec<Holder> {
    let inside = |path: &PathBuf| path.starts_with(mountpoint);
    let found = processes(proc).into_iter().filter_map(|pid| {
        let process = proc.join(pid.to_string());
        let links = links(&process).chain(mappings(&process));
        let (by, path) = links.into_iter().find(|(_, path)| inside(path))?;
        Some(holder(&process, pid, &by, path))
    });
    found.collect()
}

/// Finds the processes inside a file system that is mounted nowhere any more,
/// by its `major:minor`.
pub(crate) fn holders_of_device(proc: &Path, device: &str) -> Vec<Holder> {
    let found = processes(proc).into_iter().filter_map(|pid| {
        let process = proc.join(pid.to_string());
        let files = links(&process).chain(mapped_files(&process));
        let (by, path) = files
            .into_iter()
            .find(|(by, _)| is_on(&process.join(by), device))?;
        Some(holder(&process, pid, &by, path))
    });
    found.collect()
}

/// Asks nobody but the kernel's memory: a hung file system must not hang us.
fn is_on(file: &Path, device: &str) -> bool {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    statx(CWD, file, flags, StatxFlags::TYPE)
        .is_ok_and(|found| format!("{}:{}", found.stx_dev_major, found.stx_dev_minor) == device)
}

/// Finds a process in another mount namespace where a mount is seen that
/// `is_meant`.
pub(crate) fn sees_elsewhere(proc: &Path, is_meant: impl Fn(&Mount) -> bool) -> Option<Holder> {
    let namespace = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let mut known = vec![namespace(&proc.join("self"))?];
    for pid in processes(proc) {
        let process = proc.join(pid.to_string());
        let Some(other) = namespace(&process).filter(|other| !known.contains(other)) else {
            continue;
        };
        let mounts = Mounts::of(&process).unwrap_or_default();
        if let Some(mount) = mounts.iter().find(|mount| is_meant(mount)) {
            let path = mount.mountpoint.clone();
            return Some(holder(&process, pid, "another mount namespace", path));
        }
        known.push(other);
    }
    None
}

fn processes(proc: &Path) -> Vec<u32> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    pids
}

fn holder(process: &Path, pid: u32, by: &str, path: PathBuf) -> Holder {
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    Holder {
        pid,
        name: name.trim().to_owned(),
        by: by.split('/').next().unwrap_or_default().to_owned(),
        path,
    }
}

/// What `/proc/PID` links to, by the link's name.
fn links(process: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let link = |by: &str| Some((by.to_owned(), fs::read_link(process.join(by)).ok()?));
    let named: Vec<_> = ["cwd", "root", "exe"]
        .into_iter()
        .filter_map(link)
        .collect();
    named.into_iter().chain(files_in(process, "fd"))
}

fn mapped_files(process: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    files_in(process, "map_files")
}

fn files_in(process: &Path, folder: &'static str) -> impl Iterator<Item = (String, PathBuf)> {
    let files = fs::read_dir(process.join(folder))
        .into_iter()
        .flatten()
        .flatten();
    files.filter_map(move |file| {
        let name = file.file_name().into_string().ok()?;
        Some((format!("{folder}/{name}"), fs::read_link(file.path()).ok()?))
    })
}

fn mappings(process: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    let maps = String::from_utf8_lossy(&maps).into_owned();
    let paths: Vec<_> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| line[at..].into()))
        .collect();
    paths.into_iter().map(|path| ("maps".to_owned(), path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn process(proc: &Path, pid: &str, links: &[(&str, &str)]) {
        let process = proc.join(pid);
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::write(process.join("comm"), format!("name{pid}\n")).unwrap();
        for (name, target) in links {
            symlink(target, process.join(name)).unwrap();
        }
    }

    #[test]
    fn every_way_of_being_inside_is_found() {
        let proc = tempfile::tempdir().unwrap();
        let proc = proc.path();
        process(proc, "11", &[("cwd", "/m"), ("root", "/")]);
        process(proc, "12", &[("cwd", "/"), ("fd/3", "/m/file (deleted)")]);
        process(
            proc,
            "13",
            &[
                ("cwd", "/mm"),
                ("fd/0", "/dev/null"),
                ("fd/4", "socket:[5]"),
            ],
        );
        process(proc, "14", &[("root", "/m/root")]);
        process(proc, "15", &[]);
        fs::write(
            proc.join("15/maps"),
            "7f00-7f01 r--p 0000 00:2d 7   /m/lib.so\n",
        )
        .unwrap();
        fs::create_dir(proc.join("sys")).unwrap();
        let found = holders(proc, Path::new("/m"));
        let found: Vec<_> = found.iter().map(|h| (h.pid, h.by.as_str())).collect();
        assert_eq!(found, [(11, "cwd"), (12, "fd"), (14, "root"), (15, "maps")]);
    }

    #[test]
    fn a_holder_reads_as_a_sentence() {
        let holder = Holder {
            pid: 7,
            name: "vi".into(),
            by: "cwd".into(),
            path: "/m/src".into(),
        };
        assert_eq!(holder.to_string(), "vi (process 7, cwd /m/src)");
    }
}
