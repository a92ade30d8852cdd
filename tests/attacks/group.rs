//! A control group that ends a server which takes more memory than it may.

use std::{fs, io, path::PathBuf, process};

/// Where the kernel shows memory's groups, and the file of a group's limit: those of
/// version 1, and of version 2 (kernel, `admin-guide/cgroup-v1/memory.rst` and
/// `admin-guide/cgroup-v2.rst`).
const FORMS: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max"),
];

/// A group of one process; it must have ended when this is dropped.
pub(super) struct Group(PathBuf);

impl Group {
    /// With a limit in bytes; `None` where this process may make none.
    pub(super) fn new(limit: u64) -> Option<Self> {
        let made = FORMS.map(|(parent, file)| Self::make(parent, file, limit));
        made.into_iter().find_map(Result::ok)
    }

    fn make(parent: &str, file: &str, limit: u64) -> io::Result<Self> {
        let path = PathBuf::from(parent).join(format!("blockd-test-{}", process::id()));
        fs::create_dir(&path)?;
        let group = Self(path);
        fs::write(group.0.join(file), limit.to_string())?;
        Ok(group)
    }

    /// Puts a process into it; what it has taken so far counts for where it was.
    pub(super) fn add(&self, process: u32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty, and what is left goes with the machine.
        drop(fs::remove_dir(&self.0));
    }
}
