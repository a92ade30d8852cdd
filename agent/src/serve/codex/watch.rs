//! Which files below a directory have changed, by inotify(7).

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

/// Room for many events at once.
const BUFFER: usize = 16 << 10;

/// Directories that are watched.
#[derive(Debug)]
pub(super) struct Watch {
    queue: OwnedFd,
    folders: HashMap<i32, PathBuf>,
}

impl Watch {
    pub(super) fn new() -> Result<Self, Errno> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let folders = HashMap::new();
        Ok(Self { queue, folders })
    }

    /// Watches what is made in this directory, and what is written to its files.
    pub(super) fn add(&mut self, folder: &Path) -> Result<(), Errno> {
        self.add_for(folder, WatchFlags::MODIFY)
    }

    /// Watches what is made in this directory.
    pub(super) fn add_parent(&mut self, folder: &Path) -> Result<(), Errno> {
        self.add_for(folder, WatchFlags::empty())
    }

    fn add_for(&mut self, folder: &Path, more: WatchFlags) -> Result<(), Errno> {
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let number = inotify::add_watch(&self.queue, folder, flags | more)?;
        self.folders.insert(number, folder.to_owned());
        Ok(())
    }

    /// The paths that were made or written to since the last call; an error where the
    /// kernel does not know them all.
    pub(super) fn changed(&self) -> Result<HashSet<PathBuf>, Errno> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.queue, &mut buffer);
        let (mut changed, mut overflowed) = (HashSet::new(), false);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) if overflowed => return Err(Errno::OVERFLOW),
                Err(Errno::AGAIN) => return Ok(changed),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            overflowed |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
            if let (Some(folder), Some(name)) = (self.folders.get(&event.wd()), event.file_name()) {
                changed.insert(folder.join(OsStr::from_bytes(name.to_bytes())));
            }
        }
    }
}
