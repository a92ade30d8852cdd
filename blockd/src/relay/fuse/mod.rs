//! The FUSE file system with one file, `disk`: the export's bytes.
//!
//! Requests are answered from tokio tasks, in any order. What was read the
//! kernel keeps: an export changes by what is written here, or not at all.

mod disk;
mod kept;

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
    mount::{UnmountFlags, unmount},
};
use tokio::{runtime::Handle, sync::oneshot};

use self::{disk::Disk, kept::Kept};
use blockd_nbd::Export;

/// The name of the file.
pub(crate) const NAME: &str = "disk";

/// How far the kernel reads ahead in the file: one FUSE request is at most
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
    pub(super) async fn ended(&mut self) -> Result<()> {
        let ended = (&mut self.ended).await;
        ended
            .context("the FUSE thread is gone")?
            .context("the FUSE session ended")
    }

    /// Takes it away, from under those who still use it too: they get errors.
    pub(super) fn unmount(&self) {
        // It may have been unmounted already.
        let _gone = unmount(&self.path, UnmountFlags::DETACH);
    }
}

/// Mounts the export of a runtime at `path`.
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
    let kept = Arc::new(Kept::default());
    let disk = Disk {
        export,
        writes,
        runtime,
        kept: Arc::clone(&kept),
    };
    let session = Session::new(disk, path, &config)
        .with_context(|| format!("cannot mount the FUSE file system at {}", path.display()))?;
    let (told, ended) = oneshot::channel();
    let serve = move || {
        // Nobody waits when the relay ends first.
        let _told = told.send(session.run());
    };
    thread::Builder::new().name("fuse".into()).spawn(serve)?;
    let file = path.join(NAME);
    let keep_little = move || kept.drop_the_oldest(&file);
    thread::Builder::new()
        .name("kept".into())
        .spawn(keep_little)?;
    raise_read_ahead(path);
    Ok(Mounted {
        path: path.to_owned(),
        ended,
    })
}

/// FUSE's own limit stays at 128 KiB unless it is raised here.
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
