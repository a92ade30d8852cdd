//! The lower layer: one export's relay, device and read-only ext4, shared by
//! all attachments of that export on this machine.
//!
//! ```text
//! STATE/lowers/KEY/  lower.json  lock
//!                    relay.sock  status.sock  control.sock
//!                    relay.pid  relay.log  client.log
//!                    device/   the one-file FUSE file system
//!                    mount/    the read-only ext4
//!                    users/    an empty file for each attachment
//! ```
//! Whoever attaches puts its file into `users` before anything else, and takes
//! it away when nothing of it is left: so that at any moment, also after a
//! kill, at most too many are counted, never too few. By --cow block a place has
//! one for itself, which is written to. All is done under the
//! lock. `raise` makes what is missing, `leave` takes away what nobody uses.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{
    attach::state::{attachment_dir::Place, key::key},
    relay,
};

/// Below the state directory.
pub(crate) const LOWERS: &str = "lowers";
/// Of the repository's words in the key: what follows must fit into the path
/// of a socket.
const LONGEST: usize = 12;
/// `sun_path` of unix(7), with its last zero.
const LONGEST_SOCKET: usize = 107;

/// The directory of one export.
#[derive(Clone, Debug)]
pub(crate) struct Lower {
    state: PathBuf,
    directory: PathBuf,
}

impl Lower {
    pub(crate) fn new(state: &Path, export: &str) -> Self {
        let repository = export.split(['@', ':']).next().unwrap_or_default();
        Self::with_key(state, &key(repository, LONGEST, export.as_bytes()))
    }

    /// One that a place has for itself.
    pub(crate) fn own(place: &Place) -> Self {
        let mountpoint = place.mountpoint().as_os_str().as_bytes();
        Self::with_key(place.state(), &key("block", LONGEST, mountpoint))
    }

    /// A lower layer by the name of its directory.
    pub(crate) fn with_key(state: &Path, key: &str) -> Self {
        Self {
            state: state.to_owned(),
            directory: state.join(LOWERS).join(key),
        }
    }

    /// Fails when the sockets' paths are longer than the kernel lets them be.
    pub(crate) fn check_length(&self) -> Result<()> {
        let longest = self.control_socket();
        if longest.as_os_str().len() > LONGEST_SOCKET {
            bail!(
                "{} is too long for a unix socket: choose a shorter directory with --state",
                longest.display()
            );
        }
        Ok(())
    }

    /// The state directory that this is a part of.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn record_file(&self) -> PathBuf {
        self.directory.join("lower.json")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("relay.sock")
    }

    pub(crate) fn status_socket(&self) -> PathBuf {
        self.directory.join("status.sock")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// The relay's cache, in the moment until it has lost its name.
    pub(crate) fn cache_file(&self) -> PathBuf {
        self.directory.join(relay::CACHE)
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.directory.join("relay.pid")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.directory.join("relay.log")
    }

    /// What nbd-client said.
    pub(crate) fn client_log_file(&self) -> PathBuf {
        self.directory.join("client.log")
    }

    pub(crate) fn device(&self) -> PathBuf {
        self.directory.join("device")
    }

    /// The file that the FUSE file system shows.
    pub(crate) fn disk(&self) -> PathBuf {
        self.device().join(relay::DISK)
    }

    pub(crate) fn mount(&self) -> PathBuf {
        self.directory.join("mount")
    }

    pub(crate) fn users_directory(&self) -> PathBuf {
        self.directory.join("users")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_named_after_the_repository() {
        let lower = Lower::new(Path::new("/s"), "team/project.x@12:layout=1");
        let name = lower.directory().file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("am-project-x-"), "{name}");
        assert_eq!(name.len(), 12 + 1 + 16);
        lower.check_length().unwrap();
        let deep = PathBuf::from("/deep".repeat(14));
        assert!(Lower::new(&deep, "r@12").check_length().is_err());
    }
}
