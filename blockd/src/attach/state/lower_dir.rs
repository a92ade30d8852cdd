//! The directory of one lower layer in the state directory.
//!
//! ```text
//! STATE/lowers/KEY/  lower.json    the record (`lower_record`)
//!                    lock          held by the command that works on it
//!                    relay.sock  status.sock  control.sock
//!                    relay.pid  relay.log
//!                    client.log    the output of nbd-client
//!                    device/       mountpoint of the FUSE file system
//!                    mount/        mountpoint of the ext4
//!                    users/        an empty file for each attachment
//! ```
//! A lower layer belongs to one export and is shared by all its attachments on
//! this machine. An attachment with --cow block has one of its own, since it
//! writes to the disk.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use super::{attachment_dir::AttachmentDir, key::key};
use crate::relay;

/// The directory of all lower layers, below the state directory.
pub(crate) const LOWERS: &str = "lowers";
/// The most bytes of the repository's name in the key. What follows must fit
/// into the path of a socket.
const MAX_WORDS_LEN: usize = 12;
/// The size of `sun_path`, without its terminating null byte (unix(7)).
const MAX_SOCKET_PATH_LEN: usize = 107;

/// The directory of one lower layer in the state directory; it need not exist.
#[derive(Clone, Debug)]
pub(crate) struct LowerDir {
    state: PathBuf,
    key: String,
    directory: PathBuf,
}

impl LowerDir {
    /// The lower layer that the attachments of an export share; `export` is its
    /// canonical name.
    pub(crate) fn shared(state: &Path, export: &str) -> Self {
        let end = export.find(['@', ':']).unwrap_or(export.len());
        let key = key(&export[..end], MAX_WORDS_LEN, export.as_bytes());
        Self::with_key(state, &key)
    }

    /// The lower layer of an attachment that has one of its own.
    pub(crate) fn private(attachment: &AttachmentDir) -> Self {
        let mountpoint = attachment.mountpoint().as_os_str().as_bytes();
        let key = key("block", MAX_WORDS_LEN, mountpoint);
        Self::with_key(attachment.state(), &key)
    }

    /// The directory of a known name.
    pub(crate) fn with_key(state: &Path, key: &str) -> Self {
        Self {
            state: state.to_owned(),
            key: key.to_owned(),
            directory: state.join(LOWERS).join(key),
        }
    }

    /// Checks that the paths of the sockets are short enough for the kernel.
    ///
    /// # Errors
    ///
    /// When one of them is longer than `sun_path`.
    pub(crate) fn check_socket_paths(&self) -> Result<()> {
        let longest = self.control_socket();
        if longest.as_os_str().len() > MAX_SOCKET_PATH_LEN {
            bail!(
                "{} is too long for the path of a unix socket: choose a shorter directory with \
                 --state",
                longest.display()
            );
        }
        Ok(())
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// The name of the directory.
    pub(crate) fn key(&self) -> &str {
        &self.key
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

    /// The relay serves the export on this socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("relay.sock")
    }

    pub(crate) fn status_socket(&self) -> PathBuf {
        self.directory.join("status.sock")
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// The relay's cache, which exists only until the relay has unlinked it.
    pub(crate) fn cache_file(&self) -> PathBuf {
        self.directory.join(relay::CACHE)
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.directory.join("relay.pid")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.directory.join("relay.log")
    }

    /// The output of nbd-client.
    pub(crate) fn client_log_file(&self) -> PathBuf {
        self.directory.join("client.log")
    }

    /// The mountpoint of the FUSE file system.
    pub(crate) fn device(&self) -> PathBuf {
        self.directory.join("device")
    }

    /// The file that the FUSE file system shows.
    pub(crate) fn disk(&self) -> PathBuf {
        self.device().join(relay::DISK)
    }

    /// The mountpoint of the ext4.
    pub(crate) fn mountpoint(&self) -> PathBuf {
        self.directory.join("mount")
    }

    /// Holds an empty file, named by [`AttachmentDir::key`], for each attachment
    /// that uses this lower layer.
    pub(crate) fn users_directory(&self) -> PathBuf {
        self.directory.join("users")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_named_after_the_repository() {
        let lower = LowerDir::shared(Path::new("/s"), "team/project.x@12:layout=1");
        let name = lower.key();
        assert!(name.starts_with("am-project-x-"), "{name}");
        assert_eq!(name.len(), 12 + 1 + 16);
        lower.check_socket_paths().unwrap();
        let deep = PathBuf::from("/deep".repeat(14));
        let lower = LowerDir::shared(&deep, "r@12");
        assert!(lower.check_socket_paths().is_err());
    }
}
