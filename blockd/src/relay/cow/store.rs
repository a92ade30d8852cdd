//! The changed blocks on a local file system.
//!
//! ```text
//! DIR/blocks   sparse; every block at the offset it has on the disk
//! DIR/map      which of them count (journal.rs)
//! ```
//! A write goes to `blocks` at once and to `map` with the next flush, after
//! `blocks` has been synced: a block that `map` names is always whole. What
//! was not flushed may be lost, and then reads as it did before.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{FallocateFlags, FlockOperation, fallocate, flock},
    io::Errno,
};

use super::{
    journal::{About, Journal, Kind, Record},
    map::{BLOCK, Block, Map},
};
use crate::atomic_file;
use blockd_nbd::WriteError;

/// A journal with fewer records is short enough.
const SHORT: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    about: About,
    blocks: File,
    state: Mutex<State>,
    journal: Mutex<Journal>,
    /// Whether anything was written since the last flush.
    dirty: AtomicBool,
    /// A sync has failed: what the kernel holds may not be what storage holds.
    broken: AtomicBool,
    _lock: File,
}

#[derive(Debug)]
struct State {
    map: Map,
    /// News that the journal does not have.
    pending: Vec<Record>,
}

impl Store {
    /// Opens the changes of a disk, or begins them.
    pub(super) fn open(folder: &Path, about: About) -> Result<Self> {
        let shown = folder.display();
        // A repository may be nobody else's business.
        let created = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        created.with_context(|| format!("cannot create {shown}"))?;
        let lock = File::open(folder).with_context(|| format!("cannot open {shown}"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("another relay uses the changes in {shown}: end it, or choose another --cow");
        }
        let mut map = Map::new(about.size);
        let journal = match OpenOptions::new()
            .read(true)
            .write(true)
            .open(folder.join("map"))
        {
            Ok(mut file) => {
                let found = Journal::about(&mut file)
                    .with_context(|| format!("{shown}/map cannot be used"))?;
                same(&found, &about, folder)?;
                Journal::replay(file, &mut map)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => begin(folder, &about),
            Err(error) => Err(error),
        };
        let journal = journal.with_context(|| format!("cannot open {shown}/map"))?;
        let blocks = files()
            .open(folder.join("blocks"))
            .and_then(|file| {
                file.set_len(about.size.next_multiple_of(BLOCK))?;
                Ok(file)
            })
            .with_context(|| format!("cannot open {shown}/blocks"))?;
        let state = State {
            map,
            pending: Vec::new(),
        };
        Ok(Self {
            folder: folder.to_owned(),
            about,
            blocks,
            state: Mutex::new(state),
            journal: Mutex::new(journal),
            dirty: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            _lock: lock,
        })
    }

    /// Nothing panics while it holds this lock, so it cannot be poisoned.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks that hold data, and blocks that are zeroes.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.state().map.counts()
    }

    /// What the blocks from `start` to `end` are.
    pub(super) fn runs(&self, start: u64, end: u64) -> Vec<(Block, u64, u64)> {
        self.state().map.runs(start, end)
    }

    /// Reads what lies in our file.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.blocks.read_exact_at(buffer, offset)
    }

    /// Writes whole blocks.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<(), WriteError> {
        self.whole()?;
        self.blocks
            .write_all_at(data, offset)
            .map_err(|error| failure("cannot write a changed block", &error))?;
        let length = u64::try_from(data.len()).unwrap_or(0);
        self.note(Kind::Data, offset, length);
        Ok(())
    }

    /// Makes whole blocks zeroes, and frees what they had.
    pub(super) fn zero(&self, offset: u64, length: u64) -> Result<(), WriteError> {
        self.whole()?;
        let (start, end) = (offset / BLOCK, (offset + length) / BLOCK);
        let runs = self.runs(start, end);
        for (_, first, count) in runs.into_iter().filter(|run| run.0 == Block::Data) {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&self.blocks, hole, first * BLOCK, count * BLOCK) {
                // The map alone makes it zeroes; only the room is not won back.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(error) => return Err(failure("cannot free a block", &error.into())),
            }
        }
        self.note(Kind::Zero, offset, length);
        Ok(())
    }

    fn note(&self, kind: Kind, offset: u64, length: u64) {
        let mut state = self.state();
        let news = state.map.note(Record {
            kind,
            start: offset / BLOCK,
            count: length.div_ceil(BLOCK),
        });
        state.pending.extend(news);
        // Last: a flush that sees it sees the news, too.
        self.dirty.store(true, Ordering::Release);
    }

    /// Makes all that was written durable.
    pub(super) fn flush(&self) -> Result<(), WriteError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        self.whole()?;
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let news = std::mem::take(&mut self.state().pending);
        if let Err(error) = self.blocks.sync_data() {
            return Err(self.give_up(&error));
        }
        if news.is_empty() {
            return Ok(());
        }
        if let Err(error) = journal.append(&news) {
            if error.kind() != io::ErrorKind::StorageFull {
                return Err(self.give_up(&error));
            }
            // Nothing is lost: the next flush tries again.
            let mut state = self.state();
            let later = std::mem::replace(&mut state.pending, news);
            state.pending.extend(later);
            self.dirty.store(true, Ordering::Release);
            return Err(failure("cannot write the map of changed blocks", &error));
        }
        if journal.records() > SHORT {
            self.rewrite(&mut journal);
        }
        Ok(())
    }

    /// Replaces a long journal by a short one, if the map has become simpler
    /// than its history. One that cannot be written now is tried again later.
    fn rewrite(&self, journal: &mut Journal) {
        let (map, pending) = {
            let mut state = self.state();
            let pending = std::mem::take(&mut state.pending);
            (state.map.clone(), pending)
        };
        let records = map.records();
        let shorter = u64::try_from(records.len()).unwrap_or(u64::MAX) < journal.records() / 2;
        // The map may name blocks that were written after the last sync.
        let written = shorter && self.blocks.sync_data().is_ok();
        let renewed = written.then(|| replace(&self.folder, &self.about, &records));
        if let Some(Ok(renewed)) = renewed {
            *journal = renewed;
        } else {
            let mut state = self.state();
            let later = std::mem::replace(&mut state.pending, pending);
            state.pending.extend(later);
        }
    }

    fn whole(&self) -> Result<(), WriteError> {
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

fn same(found: &About, wanted: &About, folder: &Path) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    bail!(
        "{} holds changes to {:?} ({} bytes), which mean nothing over {:?} ({} bytes): choose another --cow, or delete that directory to throw the changes away",
        folder.display(),
        found.name,
        found.size,
        wanted.name,
        wanted.size
    )
}

/// How our files are opened: made where they are not, for us alone.
fn files() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

/// No map: blocks that lie about without one were never promised.
fn begin(folder: &Path, about: &About) -> io::Result<Journal> {
    match fs::remove_file(folder.join("blocks")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    files().open(folder.join("blocks"))?.sync_all()?;
    replace(folder, about, &[])
}

/// Writes a journal anew; the old one stays until the new one is on storage.
fn replace(folder: &Path, about: &About, records: &[Record]) -> io::Result<Journal> {
    atomic_file::replace(&folder.join("map"), &folder.join("map.new"), |file| {
        Journal::create(file.try_clone()?, about, records)
    })
}
