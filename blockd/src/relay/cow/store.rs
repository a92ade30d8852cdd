//! The changed blocks on a local file system.
//!
//! ```text
//! DIR/blocks   sparse; every block at the offset it has on the disk
//! DIR/map      which of them are valid (journal.rs)
//! ```
//! A write goes to `blocks` at once, and to `map` with the next flush, after
//! `blocks` has been synced: a block that `map` names is always whole. What
//! was not flushed may be lost, and then reads as it did before.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io, mem,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{FallocateFlags, FlockOperation, fallocate, flock},
    io::Errno,
};

use super::{
    journal::{DiskId, Journal, count},
    map::{Block, Map},
    record::{BLOCK, Kind, Record},
};
use tracing::debug;

use crate::{atomic_file, relay::buffer::length_of};
use blockd_nbd::WriteError;

/// Records of a journal that is not worth being shortened.
const SHORT_JOURNAL: u64 = 64 << 10;

/// The open files, and what is in them.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    disk: DiskId,
    blocks: File,
    state: Mutex<State>,
    journal: Mutex<Journal>,
    /// Whether anything was written since the last flush.
    dirty: AtomicBool,
    /// A sync has failed: what is in the page cache may not be on storage.
    broken: AtomicBool,
    _lock: File,
}

#[derive(Debug)]
struct State {
    map: Map,
    /// Changes that the journal does not have.
    pending: Vec<Record>,
}

impl Store {
    /// Opens the changes to a disk, or begins them in an empty folder.
    pub(super) fn open(folder: &Path, disk: DiskId) -> Result<Self> {
        let shown = folder.display();
        // Only the owner may read what may be private.
        let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        created.with_context(|| format!("cannot create {shown}"))?;
        let lock = File::open(folder).with_context(|| format!("cannot open {shown}"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                bail!("another relay uses the changes in {shown}: end it, or choose another --cow")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot lock {shown}")),
        }
        let mut map = Map::new(disk.size);
        let journal = match OpenOptions::new()
            .read(true)
            .write(true)
            .open(folder.join("map"))
        {
            Ok(mut file) => {
                let found = Journal::read_header(&mut file)
                    .with_context(|| format!("{shown}/map cannot be used"))?;
                check_same(&found, &disk, folder)?;
                Journal::replay(file, &mut map)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => begin(folder, &disk),
            Err(error) => Err(error),
        };
        let journal = journal.with_context(|| format!("cannot open {shown}/map"))?;
        let blocks = files()
            .open(folder.join("blocks"))
            .and_then(|file| {
                file.set_len(disk.size.next_multiple_of(BLOCK))?;
                Ok(file)
            })
            .with_context(|| format!("cannot open {shown}/blocks"))?;
        let state = State {
            map,
            pending: Vec::new(),
        };
        Ok(Self {
            folder: folder.to_owned(),
            disk,
            blocks,
            state: Mutex::new(state),
            journal: Mutex::new(journal),
            dirty: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            _lock: lock,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Blocks that hold data, and blocks that are zeroes.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.state().map.counts()
    }

    /// Runs of the blocks from `start` to `end`, as [`Map::runs`].
    pub(super) fn runs(&self, start: u64, end: u64) -> Vec<(Block, u64, u64)> {
        self.state().map.runs(start, end)
    }

    /// Reads blocks that hold data.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.blocks.read_exact_at(buffer, offset)
    }

    /// Writes whole blocks.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<(), WriteError> {
        self.check_whole()?;
        self.blocks
            .write_all_at(data, offset)
            .map_err(|error| failure("cannot write a changed block", &error))?;
        self.record(Kind::Data, offset, length_of(data));
        Ok(())
    }

    /// Makes whole blocks zeroes, and frees their storage.
    pub(super) fn zero(&self, offset: u64, length: u64) -> Result<(), WriteError> {
        self.check_whole()?;
        let (start, end) = (offset / BLOCK, (offset + length) / BLOCK);
        let runs = self.runs(start, end);
        for (_, first, count) in runs.into_iter().filter(|run| run.0 == Block::Data) {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&self.blocks, hole, first * BLOCK, count * BLOCK) {
                // The map makes them zeroes; only their storage is not freed.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(error) => return Err(failure("cannot free a block", &error.into())),
            }
        }
        self.record(Kind::Zero, offset, length);
        Ok(())
    }

    fn record(&self, kind: Kind, offset: u64, length: u64) {
        let mut state = self.state();
        let changes = state.map.change(Record {
            kind,
            start: offset / BLOCK,
            count: length.div_ceil(BLOCK),
        });
        state.pending.extend(changes);
        // Last: a flush that sees it sees the changes, too.
        self.dirty.store(true, Ordering::Release);
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    ///
    /// There is no room for the map: a later flush may succeed. Or a sync has
    /// failed: then all further writes fail, until the relay is restarted.
    pub(super) fn flush(&self) -> Result<(), WriteError> {
        let mut journal = self.journal.lock().expect("no holder of this lock panics");
        self.check_whole()?;
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let changes = mem::take(&mut self.state().pending);
        if let Err(error) = self.blocks.sync_data() {
            return Err(self.give_up(&error));
        }
        if changes.is_empty() {
            return Ok(());
        }
        if let Err(error) = journal.append(&changes) {
            if error.kind() != io::ErrorKind::StorageFull {
                return Err(self.give_up(&error));
            }
            // Nothing is lost: the next flush tries again.
            let mut state = self.state();
            let later = mem::replace(&mut state.pending, changes);
            state.pending.extend(later);
            self.dirty.store(true, Ordering::Release);
            return Err(failure("cannot write the map of changed blocks", &error));
        }
        if journal.records() > SHORT_JOURNAL {
            self.rewrite(&mut journal)?;
        }
        Ok(())
    }

    /// Replaces a long journal by a short one, if the map has become simpler
    /// than its history. One that cannot be written now, for lack of room, is
    /// tried again with a later flush.
    fn rewrite(&self, journal: &mut Journal) -> Result<(), WriteError> {
        let (map, pending) = {
            let mut state = self.state();
            let pending = mem::take(&mut state.pending);
            (state.map.clone(), pending)
        };
        let records = map.records();
        let is_shorter = count(&records) < journal.records() / 2;
        if is_shorter {
            // The map may name blocks that were written after the last sync.
            if let Err(error) = self.blocks.sync_data() {
                return Err(self.give_up(&error));
            }
            match replace(&self.folder, &self.disk, &records) {
                Ok(renewed) => {
                    *journal = renewed;
                    return Ok(());
                }
                Err(error) if journal.is_at(&self.folder.join("map")) => {
                    debug!("the map of changed blocks stays as long as it is: {error}");
                }
                // Only its name is not on storage: what is appended to the old
                // one would be lost.
                Err(error) => return Err(self.give_up(&error)),
            }
        }
        let mut state = self.state();
        let later = mem::replace(&mut state.pending, pending);
        state.pending.extend(later);
        Ok(())
    }

    /// Fails after a failed sync.
    fn check_whole(&self) -> Result<(), WriteError> {
        if self.broken.load(Ordering::Acquire) {
            let text = "the changes could not be brought to storage before; restart the relay to go on with what is there";
            return Err(WriteError::Failed(text.to_owned()));
        }
        Ok(())
    }

    /// After a failed sync the kernel may have dropped what it could not
    /// write: nothing more may be promised.
    fn give_up(&self, error: &io::Error) -> WriteError {
        self.broken.store(true, Ordering::Release);
        failure("the changes cannot be brought to storage", error)
    }
}

fn failure(what: &str, error: &io::Error) -> WriteError {
    let text = format!("{what}: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WriteError::NoSpace(text),
        _ => WriteError::Failed(text),
    }
}

/// Fails when the changes in a folder are not those to this disk.
fn check_same(found: &DiskId, disk: &DiskId, folder: &Path) -> Result<()> {
    if found == disk {
        return Ok(());
    }
    bail!(
        "{} holds changes to {:?} ({} bytes), which mean nothing over {:?} ({} bytes): choose another --cow, or delete that directory to throw the changes away",
        folder.display(),
        found.name,
        found.size,
        disk.name,
        disk.size
    )
}

/// Opens for reading and writing, and creates for the owner alone.
fn files() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// Makes both files. Blocks without a map were never reported as flushed.
fn begin(folder: &Path, disk: &DiskId) -> io::Result<Journal> {
    match fs::remove_file(folder.join("blocks")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    files().open(folder.join("blocks"))?.sync_all()?;
    replace(folder, disk, &[])
}

/// Replaces the journal; the old one stays until the new one is on storage.
fn replace(folder: &Path, disk: &DiskId, records: &[Record]) -> io::Result<Journal> {
    atomic_file::replace(&folder.join("map"), &folder.join("map.new"), |file| {
        Journal::create(file.try_clone()?, disk, records)
    })
}
