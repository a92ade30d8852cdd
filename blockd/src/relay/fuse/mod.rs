//! The FUSE file system with one file, `disk`: the export's bytes.
//!
//! Requests are answered from tokio tasks, in any order. The kernel caches what
//! was read: an export changes only by what is written here.

mod disk;
mod page_cache;
mod static_dev;

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use anyhow::{Context, Result};
use fuser::{Config, MountOption, Session};
use rustix::{
    fs::{major, minor},
    io::Errno,
    mount::{UnmountFlags, unmount},
};
use tokio::{runtime::Handle, sync::oneshot};

pub(crate) use self::disk::NAME;
use self::{disk::Disk, page_cache::PageCacheTrimmer};
use crate::device_node::Device;
use blockd_nbd::Export;

/// The kernel's readahead of the file, in KiB: one FUSE request is at most
/// 1 MiB.
const READ_AHEAD_KB: &str = "1024";

/// A mounted file system.
#[derive(Debug)]
pub(super) struct Mounted {
    path: PathBuf,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Mounted {
    /// Waits until it is unmounted.
    ///
    /// # Errors
    ///
    /// Requests cannot be read any more.
    pub(super) async fn ended(&mut self) -> Result<()> {
        let ended = (&mut self.ended).await;
        ended
            .context("the thread of the FUSE file system has panicked")?
            .context("requests of the FUSE file system cannot be read")
    }

    /// Unmounts it, also when it is in use: reads of open files fail.
    pub(super) fn unmount(&self) {
        match unmount(&self.path, UnmountFlags::DETACH) {
            // It may have been unmounted already.
            Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
            Err(error) => tracing::warn!("cannot unmount {}: {error}", self.path.display()),
        }
    }
}

/// Mounts an export at `path`, an empty directory; `runtime` answers requests.
///
/// # Errors
///
/// The kernel has no FUSE, or does not permit the mount.
pub(super) fn mount(path: &Path, export: Arc<dyn Export>, runtime: Handle) -> Result<Mounted> {
    let mut config = Config::default();
    let writes = export.writes();
    config.mount_options = vec![
        MountOption::FSName("blockd".to_owned()),
        MountOption::Subtype("blockd".to_owned()),
        match writes {
            Some(_) => MountOption::RW,
            None => MountOption::RO,
        },
        MountOption::NoExec,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
    ];
    let trimmer = Arc::new(PageCacheTrimmer::default());
    let disk = Disk {
        export,
        writes,
        runtime,
        trimmer: Arc::clone(&trimmer),
    };
    let session = session(disk, path, config)
        .with_context(|| format!("cannot mount the FUSE file system at {}", path.display()))?;
    let (end, ended) = oneshot::channel();
    let serve = move || {
        // Nobody waits for it when the relay ends first.
        drop(end.send(session.run()));
    };
    thread::Builder::new().name("fuse".into()).spawn(serve)?;
    let file = path.join(NAME);
    let trim = move || trimmer.run(&file);
    thread::Builder::new()
        .name("page-cache".into())
        .spawn(trim)?;
    raise_read_ahead(path);
    Ok(Mounted {
        path: path.to_owned(),
        ended,
    })
}

fn session(disk: Disk, path: &Path, config: Config) -> Result<Session<Disk>> {
    if Device::fuse().is_in_dev() {
        return Ok(Session::new(disk, path, &config)?);
    }
    let requests = static_dev::mount_at(path, disk.writes.is_some())?;
    Ok(Session::from_fd(disk, requests, config.acl, config)?)
}

/// Raises the kernel's default readahead of 128 KiB, where permitted.
fn raise_read_ahead(mountpoint: &Path) {
    let raised = fs::metadata(mountpoint).and_then(|root| {
        let device = root.dev();
        let device = format!("{}:{}", major(device), minor(device));
        fs::write(
            format!("/sys/class/bdi/{device}/read_ahead_kb"),
            READ_AHEAD_KB,
        )
    });
    if let Err(error) = raised {
        tracing::debug!("read_ahead_kb of the FUSE file system stays as it is: {error}");
    }
}
