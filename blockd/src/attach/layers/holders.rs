//! The processes that keep a mount busy: those with a working directory, root,
//! program, mapping or open file on it.
//!
//! A process that ends while it is looked at is left out, and so is what this
//! process may not look at.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use blockd_nbd::printable;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde::Serialize;

use crate::attach::layers::mounts::{Mount, Mounts};

/// The directory of `/proc/PID` with a link for each mapping.
const MAPPED: &str = "map_files";

/// A process that keeps a mount busy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name, as ps(1) shows it.
    pub name: String,
    /// What it has there: `cwd`, `root`, `exe`, `maps` or `fd`.
    pub by: String,
    /// The path of what it has there.
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
        let (name, path) = (printable(name), path.to_string_lossy());
        write!(f, "{name} (process {pid}, {by} {})", printable(&path))
    }
}

/// Finds the processes that keep `mountpoint` busy; `proc` is `/proc`.
///
/// A path that begins like the mountpoint is not enough: in another mount namespace
/// it may be anything. What counts is the mount that a file was opened through.
/// Neither asks the mounted file system, so that it does not hang where that does.
///
/// # Errors
///
/// When `/proc` cannot be listed, or mounts cannot be read.
pub(crate) fn holders(proc: &Path, mountpoint: &Path) -> io::Result<Vec<Holder>> {
    let mounts = Mounts::read()?.ids_below(mountpoint);
    let here = namespace(&proc.join("self"))?;
    find(proc, mountpoint, |process, file| {
        mount_id(file).map_or_else(
            || namespace(process).is_ok_and(|other| other == here),
            |id| mounts.contains(&id),
        )
    })
}

/// Finds the processes with a file whose path is below the mountpoint, and for which
/// `is_meant` holds of the process and the file.
fn find(
    proc: &Path,
    mountpoint: &Path,
    is_meant: impl Fn(&Path, &Path) -> bool,
) -> io::Result<Vec<Holder>> {
    let found = processes(proc)?.into_iter().filter_map(|pid| {
        let process = proc.join(pid.to_string());
        let files = links(&process).chain(mapped_files(&process));
        let (by, path) = files.into_iter().find(|(by, path)| {
            path.starts_with(mountpoint) && is_meant(&process, &process.join(by))
        })?;
        Some(holder(&process, pid, &by, path))
    });
    Ok(found.collect())
}

/// The id of the mount that an open file is on; `None` where the kernel (before 5.8)
/// does not say it, or the file is gone.
fn mount_id(file: &Path) -> Option<u64> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let found = statx(CWD, file, flags, StatxFlags::MNT_ID).ok()?;
    let is_known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    is_known.then_some(found.stx_mnt_id)
}

fn namespace(process: &Path) -> io::Result<PathBuf> {
    fs::read_link(process.join("ns/mnt"))
}

/// Finds the processes that use a file system which is not mounted any more, by
/// its device number `major:minor`.
///
/// # Errors
///
/// When `/proc` cannot be listed.
pub(crate) fn holders_of_device(proc: &Path, device: &str) -> io::Result<Vec<Holder>> {
    let found = processes(proc)?.into_iter().filter_map(|pid| {
        let process = proc.join(pid.to_string());
        let files = links(&process).chain(mapped_files(&process));
        let (by, path) = files
            .into_iter()
            .find(|(by, _)| is_on(&process.join(by), device))?;
        Some(holder(&process, pid, &by, path))
    });
    Ok(found.collect())
}

/// Takes what the kernel has cached, so that it does not hang where the file
/// system does.
fn is_on(file: &Path, device: &str) -> bool {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    statx(CWD, file, flags, StatxFlags::TYPE)
        .is_ok_and(|found| format!("{}:{}", found.stx_dev_major, found.stx_dev_minor) == device)
}

/// Finds a process in another mount namespace that sees a mount for which
/// `is_meant` holds.
///
/// # Errors
///
/// When `/proc` cannot be listed.
pub(crate) fn find_in_other_namespace(
    proc: &Path,
    is_meant: impl Fn(&Mount) -> bool,
) -> io::Result<Option<Holder>> {
    let mut known = vec![namespace(&proc.join("self"))?];
    for pid in processes(proc)? {
        let process = proc.join(pid.to_string());
        // One that has ended sees nothing; it may have been the only one.
        let Ok(other) = namespace(&process) else {
            continue;
        };
        if known.contains(&other) {
            continue;
        }
        let Ok(mounts) = Mounts::of(&process) else {
            continue;
        };
        if let Some(mount) = mounts.iter().find(|mount| is_meant(mount)) {
            let path = mount.mountpoint.clone();
            let by = "another mount namespace";
            return Ok(Some(holder(&process, pid, by, path)));
        }
        known.push(other);
    }
    Ok(None)
}

/// The entries of `/proc` that are numbers.
fn processes(proc: &Path) -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir(proc)? {
        let name = entry?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    pids.sort_unstable();
    Ok(pids)
}

fn holder(process: &Path, pid: u32, by: &str, path: PathBuf) -> Holder {
    let name = fs::read_to_string(process.join("comm"));
    let name = name.map_or_else(|_| "(ended)".to_owned(), |name| name.trim().to_owned());
    let by = by.split_once('/').map_or(by, |(kind, _)| kind);
    let by = if by == MAPPED { "maps" } else { by };
    Holder {
        pid,
        name,
        by: by.to_owned(),
        path,
    }
}

/// The links in `/proc/PID`, by name.
fn links(process: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let link = |by: &str| Some((by.to_owned(), fs::read_link(process.join(by)).ok()?));
    let named: Vec<_> = ["cwd", "root", "exe"]
        .into_iter()
        .filter_map(link)
        .collect();
    named.into_iter().chain(files_in(process, "fd"))
}

fn mapped_files(process: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    files_in(process, MAPPED)
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
    fn every_kind_of_use_is_found() {
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
        fs::create_dir(proc.join("15/map_files")).unwrap();
        symlink("/m/lib.so", proc.join("15/map_files/7f00-7f01")).unwrap();
        fs::create_dir(proc.join("sys")).unwrap();
        let found = find(proc, Path::new("/m"), |_, _| true).unwrap();
        let found: Vec<_> = found.iter().map(|h| (h.pid, h.by.as_str())).collect();
        assert_eq!(found, [(11, "cwd"), (12, "fd"), (14, "root"), (15, "maps")]);
        let is_meant = |process: &Path, _: &Path| process.ends_with("12");
        let found = find(proc, Path::new("/m"), is_meant).unwrap();
        assert_eq!(found[0].pid, 12);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_holder_is_shown_with_its_name_and_path() {
        let holder = Holder {
            pid: 7,
            name: "vi".into(),
            by: "cwd".into(),
            path: "/m/src".into(),
        };
        assert_eq!(holder.to_string(), "vi (process 7, cwd /m/src)");
    }
}
