//! Which files are opened below a mountpoint (fanotify(7)).

use std::{
    collections::BTreeSet,
    fs,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::CWD,
};

/// More files than this are everything.
const MOST: usize = 20_000;
/// How often it is looked whether it is over.
const INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// A mountpoint that is watched.
pub(super) struct Watch {
    mountpoint: PathBuf,
    events: Fanotify,
}

impl Watch {
    /// Begins to watch.
    pub(super) fn begin(mountpoint: &Path) -> Result<Self> {
        let events = mark(mountpoint).with_context(|| {
            let shown = mountpoint.display();
            format!("cannot watch {shown}: it takes root, and fanotify in the kernel")
        })?;
        Ok(Self {
            mountpoint: mountpoint.to_owned(),
            events,
        })
    }

    /// The files that others open, until it is over or there are very many.
    pub(super) fn opened(&self, over: &AtomicBool) -> Result<BTreeSet<PathBuf>> {
        let mut opened = BTreeSet::new();
        while opened.len() < MOST && !over.load(Ordering::Relaxed) {
            let events = self.events.as_fd();
            let mut files = [PollFd::new(&events, PollFlags::IN)];
            let _interrupted = poll(&mut files, Some(&INTERVAL));
            let read = match self.events.read_events() {
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                read => read.context("cannot read what was opened")?,
            };
            opened.extend(read.iter().filter_map(|event| self.path_of(event)));
        }
        Ok(opened)
    }

    /// The path below the mountpoint.
    fn path_of(&self, event: &FanotifyEvent) -> Option<PathBuf> {
        let ours = u32::try_from(event.pid()) == Ok(process::id());
        let file = event.fd().filter(|_| !ours)?;
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        Some(path.strip_prefix(&self.mountpoint).ok()?.to_owned())
    }
}

fn mark(mountpoint: &Path) -> nix::Result<Fanotify> {
    let flags = InitFlags::FAN_CLASS_NOTIF
        | InitFlags::FAN_CLOEXEC
        | InitFlags::FAN_NONBLOCK
        | InitFlags::FAN_UNLIMITED_QUEUE;
    let events = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
    let how = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_MOUNT;
    events.mark(how, MaskFlags::FAN_OPEN, CWD, Some(mountpoint))?;
    Ok(events)
}
