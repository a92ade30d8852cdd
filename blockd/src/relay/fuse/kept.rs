//! What the kernel keeps of the file.
//!
//! Whoever uses a loop device on it keeps what was read once more, above the
//! device: down here it is worth something only as long as it was read ahead.
//! So what was served longest ago is dropped when much was served since.
//!
//! That is done with fadvise(2) and not with a notification of FUSE. A
//! notification drops pages that somebody uses too, those of a write on its
//! way to us: a read that is answered before that write would bring the old
//! bytes back to stay. And it waits for pages that wait for us. To open the
//! file asks nothing of us, and it is open for a moment only: the file system
//! cannot be unmounted meanwhile.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    num::NonZeroU64,
    ops::Range,
    path::Path,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{Advice, fadvise};

/// The most that the kernel keeps, but for what is on its way.
const MOST: u64 = 64 << 20;
/// What is dropped at once: the kernel asks all processors for each piece.
const AT_ONCE: u64 = 16 << 20;

/// What was served, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Kept {
    served: Mutex<Served>,
    much: Condvar,
}

#[derive(Debug, Default)]
struct Served {
    ranges: VecDeque<Range<u64>>,
    bytes: u64,
    is_over: bool,
}

impl Served {
    fn note(&mut self, range: Range<u64>) {
        self.bytes += range.end - range.start;
        match self.ranges.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push_back(range),
        }
    }

    /// What was served first, when there is too much: in the order of the
    /// file, and in few pieces.
    fn take_oldest(&mut self) -> Vec<Range<u64>> {
        let mut oldest: Vec<Range<u64>> = Vec::new();
        let mut surplus = self.bytes.saturating_sub(MOST - AT_ONCE);
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

impl Kept {
    /// Nothing panics while it holds this lock, so it cannot be poisoned.
    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kernel has got these bytes, or has written them.
    pub(super) fn note(&self, offset: u64, bytes: usize) {
        let length = u64::try_from(bytes).unwrap_or(0);
        let mut served = self.served();
        served.note(offset..offset.saturating_add(length));
        if served.bytes > MOST {
            self.much.notify_one();
        }
    }

    /// The file system is gone.
    pub(super) fn end(&self) {
        self.served().is_over = true;
        self.much.notify_one();
    }

    /// Drops what is too much, until the end: for a thread of its own.
    pub(super) fn drop_the_oldest(&self, file: &Path) {
        loop {
            let wait = |served: &mut Served| served.bytes <= MOST && !served.is_over;
            let mut served = self
                .much
                .wait_while(self.served(), wait)
                .unwrap_or_else(PoisonError::into_inner);
            if served.is_over {
                return;
            }
            let oldest = served.take_oldest();
            drop(served);
            if let Err(error) = drop_all(file, oldest) {
                tracing::debug!("what the kernel keeps of the disk stays: {error}");
            }
        }
    }
}

fn drop_all(path: &Path, ranges: Vec<Range<u64>>) -> io::Result<()> {
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
    fn the_oldest_go_first_and_only_when_there_is_much() {
        let mut served = Served::default();
        served.note(MOST..MOST + 4096);
        served.note(0..AT_ONCE);
        served.note(AT_ONCE..MOST - 4096);
        assert_eq!(served.bytes, MOST);
        assert_eq!(served.ranges.len(), 2);
        served.note(8192..12_288);
        assert_eq!(
            served.take_oldest(),
            [0..AT_ONCE, MOST..MOST + 4096],
            "in the order of the file"
        );
        assert_eq!(served.bytes, MOST - AT_ONCE);
        assert_eq!(served.take_oldest(), []);
        served.note(0..2 * MOST);
        let oldest = served.take_oldest();
        assert_eq!(oldest.len(), 1, "what was served twice goes once");
        assert_eq!(oldest.first(), Some(&(0..MOST + AT_ONCE)));
        assert_eq!(served.ranges.len(), 1);
        assert_eq!(served.ranges.front(), Some(&(MOST + AT_ONCE..2 * MOST)));
    }
}
