//! Where an attachment keeps its things.
//!
//! ```text
//! STATE/attachments/KEY/  state.json  lock  device.log  device.pid
//!                         device/     the one-file FUSE file system
//!                         lower/      the read-only ext4
//!                         upper/ work/  the diff
//! ```
//! The key comes from the mountpoint, so that a diff is found again there.

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::fs::Mode;

/// The directory of one mountpoint.
#[derive(Clone, Debug)]
pub(super) struct Place {
    directory: PathBuf,
    mountpoint: PathBuf,
}

impl Place {
    pub(super) fn new(state: &Path, mountpoint: &Path) -> Self {
        let directory = state.join("attachments").join(key(mountpoint));
        Self {
            directory,
            mountpoint: mountpoint.to_owned(),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    pub(super) fn state_file(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.directory.join("device.log")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.directory.join("device.pid")
    }

    pub(super) fn device(&self) -> PathBuf {
        self.directory.join("device")
    }

    pub(super) fn lower(&self) -> PathBuf {
        self.directory.join("lower")
    }

    pub(super) fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    pub(super) fn work(&self) -> PathBuf {
        self.directory.join("work")
    }

    /// Makes the directory, closed to everybody else: what lies in the upper
    /// layer must not be reached past the overlay's permissions.
    pub(super) fn create(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        Ok(rustix::fs::chmod(&self.directory, Mode::RWXU)?)
    }
}

/// A name for people with a hash for certainty; without any character that
/// means something to overlayfs.
fn key(mountpoint: &Path) -> String {
    let words = mountpoint.to_string_lossy();
    let words = words
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let name: String = words.collect::<Vec<_>>().join("-");
    let from = name.len().saturating_sub(40);
    let hash = fnv1a(mountpoint.as_os_str().as_bytes());
    format!("{}-{hash:016x}", &name[from..])
}

/// FNV-1a: stable for ever, unlike the standard library's hashers.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_readable_short_and_never_change() {
        assert_eq!(key(Path::new("/srv/work")), "srv-work-add4cb61bb1402f9");
        assert_eq!(key(Path::new("/a,b:c\\ d")).split('-').count(), 5);
        assert!(key(Path::new(&"/long/directory".repeat(20))).len() < 64);
        assert_ne!(key(Path::new("/a/b")), key(Path::new("/a-b")));
    }
}
