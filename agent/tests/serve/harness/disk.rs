//! A small disk, to be filled.

use std::{fs, path::PathBuf};

use super::{Launch, Server};

/// A disk of its own under the logs, of 1 MiB, of which half is taken.
const SMALL: &str = "mkdir $0 && mount -t tmpfs -o size=1m,mode=700 none $0 \
    && head -c 524288 /dev/zero >$0/ballast && exec \"$@\"";

impl Launch {
    /// A server whose logs are on the small disk.
    pub(crate) fn on_a_small_disk(program: &str) -> Self {
        Self::wrapped(&["unshare", "-rm", "sh", "-c", SMALL], program)
    }
}

impl Server {
    /// The file that fills half of the disk under the logs, which only the server has
    /// mounted.
    fn ballast(&self) -> PathBuf {
        let logs = self.path("logs/ballast");
        PathBuf::from(format!("/proc/{}/root{}", self.pid(), logs.display()))
    }

    /// Makes room on the disk.
    pub(crate) fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// Fills the disk.
    pub(crate) fn take_all_room(&self) {
        let full = fs::write(self.ballast(), vec![0; 2 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }
}
