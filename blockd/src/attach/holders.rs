//! Who keeps a mount busy: the processes with a directory, root, program,
//! mapping or open file below it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

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
pub(super) fn holders(proc: &Path, mountpoint: &Path) -> Vec<Holder> {
    let Ok(entries) = fs::read_dir(proc) else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut holders: Vec<Holder> = pids
        .filter_map(|pid| holder(&proc.join(u32::to_string(&pid)), pid, mountpoint))
        .collect();
    holders.sort_by_key(|holder| holder.pid);
    holders
}

fn holder(process: &Path, pid: u32, mountpoint: &Path) -> Option<Holder> {
    let inside = |path: &PathBuf| path.starts_with(mountpoint);
    let link = |by: &str| Some((by.to_owned(), fs::read_link(process.join(by)).ok()?));
    let links = ["cwd", "root", "exe"].into_iter().filter_map(link);
    let (by, path) = links
        .chain(open_files(process))
        .chain(mappings(process))
        .find(|(_, path)| inside(path))?;
    let name = fs::read_to_string(process.join("comm"))
        .unwrap_or_default()
        .trim()
        .to_owned();
    Some(Holder {
        pid,
        name,
        by,
        path,
    })
}

fn open_files(process: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let files = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    files.filter_map(|file| Some(("fd".to_owned(), fs::read_link(file.path()).ok()?)))
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
