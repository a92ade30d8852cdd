//! The file in the kernel's page cache.
//!
//! A loop device on the file has a page cache of its own, above it: pages down
//! here are of use only until they are read. So the pages that were served
//! longest ago are dropped when many were served since.
//!
//! This is done with fadvise(2) and not with `FUSE_NOTIFY_INVAL_INODE`. The
//! notification also drops pages that are in use, those of a write that has
//! not reached this process: a read that is answered before that write would
//! bring the old bytes back to stay. And it waits for pages that wait for this
//! process. To open the file sends no request, and the file is open only for
//! the call: as long as it is, the file system cannot be unmounted.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    num::NonZeroU64,
    ops::Range,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard},
};

use rustix::fs::{Advice, fadvise};

/// Bytes in the page cache, at most, besides those in flight.
const MAX_BYTES: u64 = 64 << 20;
/// Bytes that are dropped together: for each range the kernel interrupts all
/// processors.
const BATCH: u64 = 16 << 20;

/// Drops the oldest pages of the file from the page cache.
#[derive(Debug, Default)]
pub(super) struct PageCacheTrimmer {
    served: Mutex<Served>,
    changed: Condvar,
}

/// What was served and not dropped, oldest first.
#[derive(Debug, Default)]
struct Served {
    ranges: VecDeque<Range<u64>>,
    bytes: u64,
    is_unmounted: bool,
}

impl Served {
    fn record(&mut self, range: Range<u64>) {
        self.bytes += range.end - range.start;
        match self.ranges.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push_back(range),
        }
    }

    /// Takes the oldest ranges, so that a batch fits: in the order of the file,
    /// and in as few pieces as possible.
    fn take_oldest(&mut self) -> Vec<Range<u64>> {
        let mut oldest: Vec<Range<u64>> = Vec::new();
        // Nothing, when less than that is there.
        let mut surplus = self.bytes.saturating_sub(MAX_BYTES - BATCH);
        while let Some(range) = self.ranges.front_mut().filter(|_| surplus > 0) {
            let end = range.end.min(range.start + surplus);
            let taken = range.start..end;
            range.start = end;
            if range.start == range.end {
                self.ranges.pop_front();
            }
            surplus -= taken.end - taken.start;
            self.bytes -= taken.end - taken.start;
            oldest.push(taken);
        }
        oldest.sort_unstable_by_key(|range| range.start);
        oldest.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        oldest
    }
}

impl PageCacheTrimmer {
    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().expect("no holder of this lock panics")
    }

    /// Records bytes of the file that the kernel has read, or has written.
    pub(super) fn record(&self, range: Range<u64>) {
        let mut served = self.served();
        served.record(range);
        if served.bytes > MAX_BYTES {
            self.changed.notify_one();
        }
    }

    /// Ends [`PageCacheTrimmer::run`]: the file system is unmounted.
    pub(super) fn end(&self) {
        self.served().is_unmounted = true;
        self.changed.notify_one();
    }

    /// Drops the oldest pages of `file` until [`PageCacheTrimmer::end`]. For a
    /// thread of its own.
    pub(super) fn run(&self, file: &Path) {
        loop {
            let wait = |served: &mut Served| served.bytes <= MAX_BYTES && !served.is_unmounted;
            let waited = self.changed.wait_while(self.served(), wait);
            let mut served = waited.expect("no holder of this lock panics");
            if served.is_unmounted {
                return;
            }
            let oldest = served.take_oldest();
            drop(served);
            if let Err(error) = drop_pages(file, oldest) {
                tracing::debug!("pages of the disk stay in the page cache: {error}");
            }
        }
    }
}

fn drop_pages(path: &Path, ranges: Vec<Range<u64>>) -> io::Result<()> {
    let file = File::open(path)?;
    for range in ranges {
        let length = NonZeroU64::new(range.end - range.start);
        fadvise(&file, range.start, length, Advice::DontNeed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pages_go_first_and_only_above_the_limit() {
        let mut served = Served::default();
        served.record(MAX_BYTES..MAX_BYTES + 4096);
        served.record(0..BATCH);
        served.record(BATCH..MAX_BYTES - 4096);
        assert_eq!(served.bytes, MAX_BYTES);
        assert_eq!(served.ranges.len(), 2);
        served.record(8192..12_288);
        assert_eq!(
            served.take_oldest(),
            [0..BATCH, MAX_BYTES..MAX_BYTES + 4096],
            "in the order of the file"
        );
        assert_eq!(served.bytes, MAX_BYTES - BATCH);
        assert_eq!(served.take_oldest(), []);
        served.record(0..2 * MAX_BYTES);
        let oldest = served.take_oldest();
        assert_eq!(oldest.len(), 1, "what was served twice goes once");
        assert_eq!(oldest.first(), Some(&(0..MAX_BYTES + BATCH)));
        assert_eq!(served.ranges.len(), 1);
        assert_eq!(
            served.ranges.front(),
            Some(&(MAX_BYTES + BATCH..2 * MAX_BYTES))
        );
    }
}
