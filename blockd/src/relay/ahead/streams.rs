//! Which reads follow one another, and what will be asked for next.
//!
//! On our disks the files of a tree lie in its order, so whoever goes through
//! it reads on and on, with a small read for each file: no file's own
//! readahead helps there.

use std::ops::Range;

/// What is read ahead in one piece.
pub(super) const CHUNK: u64 = 128 << 10;
/// How many streams are followed; one that is quiet for long gives way.
const STREAMS: usize = 8;
/// How much may be left out between two reads: files that nobody wants, or that
/// the kernel has already.
const SKIPPED: u64 = 512 << 10;
/// How far a read may lag behind others that overtook it.
const OVERTAKEN: u64 = 128 << 10;
/// So many reads in a row are no chance.
const FEW: u32 = 3;

/// Reads that go on from one place.
#[derive(Debug)]
struct Stream {
    /// Behind the last byte that was read.
    next: u64,
    /// The first chunk that was not read ahead.
    ahead: u64,
    reads: u32,
    bytes: u64,
    turn: u64,
}

impl Stream {
    fn is_followed_by(&self, read: &Range<u64>) -> bool {
        let (from, to) = (
            self.next.saturating_sub(OVERTAKEN),
            self.next.saturating_add(SKIPPED),
        );
        (from..=to).contains(&read.start)
    }

    /// The chunks to read ahead, so that `window` bytes are, but no more than
    /// were read: a stream may end at any time. None before half of them are
    /// used up.
    fn wanted(&mut self, window: u64, size: u64) -> Range<u64> {
        let window = window.min(self.bytes.max(CHUNK));
        let first = self.ahead.max(self.next / CHUNK);
        let end = self.next.saturating_add(window).min(size);
        let last = end.div_ceil(CHUNK);
        let is_end = end == size;
        if last <= first || (!is_end && (last - first) * CHUNK * 2 < window) {
            return first..first;
        }
        self.ahead = last;
        first..last
    }
}

/// The streams of one disk.
#[derive(Debug)]
pub(super) struct Streams {
    size: u64,
    followed: Vec<Stream>,
    turn: u64,
}

impl Streams {
    pub(super) fn new(size: u64) -> Self {
        Self {
            size,
            followed: Vec::new(),
            turn: 0,
        }
    }

    /// Notes a read of bytes; the numbers of the chunks to read ahead.
    pub(super) fn note(&mut self, read: &Range<u64>, window: u64) -> Range<u64> {
        self.turn += 1;
        let turn = self.turn;
        let mut streams = self.followed.iter_mut();
        let Some(stream) = streams.find(|stream| stream.is_followed_by(read)) else {
            self.begin(read);
            return 0..0;
        };
        stream.turn = turn;
        stream.reads = stream.reads.saturating_add(1);
        stream.bytes += read.end - read.start;
        stream.next = stream.next.max(read.end);
        if stream.reads < FEW {
            return 0..0;
        }
        stream.wanted(window, self.size)
    }

    fn begin(&mut self, read: &Range<u64>) {
        if self.followed.len() >= STREAMS {
            let quietest = self.followed.iter().map(|stream| stream.turn).min();
            self.followed.retain(|stream| Some(stream.turn) != quietest);
        }
        self.followed.push(Stream {
            next: read.end,
            ahead: 0,
            reads: 1,
            bytes: read.end - read.start,
            turn: self.turn,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 4 * CHUNK;
    const SIZE: u64 = 100 * CHUNK + 1;

    fn blocks(streams: &mut Streams, offsets: impl IntoIterator<Item = u64>) -> Vec<Range<u64>> {
        let read = offsets.into_iter().map(|offset| offset..offset + 4096);
        let wanted = read.map(|read| streams.note(&read, WINDOW));
        wanted.filter(|chunks| !chunks.is_empty()).collect()
    }

    #[test]
    fn what_goes_on_is_read_ahead_without_gap_or_repetition() {
        let mut streams = Streams::new(SIZE);
        let wanted = blocks(&mut streams, (0..20 * CHUNK).step_by(4096));
        assert_eq!(wanted[0].start, 0, "from where the stream is");
        assert!(wanted.windows(2).all(|two| two[0].end == two[1].start));
        let ahead = wanted.last().unwrap().end;
        assert!((20 + 2..=20 + 4).contains(&ahead), "{ahead}");
    }

    #[test]
    fn the_end_of_the_disk_is_the_end() {
        let mut streams = Streams::new(SIZE);
        let wanted = blocks(&mut streams, (97 * CHUNK..SIZE - 4096).step_by(4096));
        assert_eq!(wanted.last().unwrap().end, 101);
    }

    #[test]
    fn files_may_be_left_out_and_reads_overtaken() {
        let mut streams = Streams::new(SIZE);
        let skipping = (0..10).map(|number| number * SKIPPED);
        assert!(!blocks(&mut streams, skipping).is_empty());
        let mut streams = Streams::new(SIZE);
        assert!(!blocks(&mut streams, [8192, 0, 4096, 16384, 12288]).is_empty());
    }

    #[test]
    fn what_jumps_about_is_not_followed() {
        let mut streams = Streams::new(SIZE);
        let far = (0..90).map(|number| (number * 37 % 90) * (CHUNK + 1));
        let apart = far.filter(|offset| offset % (2 * SKIPPED) < 4096);
        assert_eq!(blocks(&mut streams, apart), []);
        assert_eq!(blocks(&mut streams, [0, 4096]), [], "two may be chance");
    }

    #[test]
    fn streams_do_not_disturb_each_other() {
        let mut streams = Streams::new(SIZE);
        let both = (0..20).flat_map(|step| [step * 4096, 50 * CHUNK + step * 4096]);
        let wanted = blocks(&mut streams, both);
        assert_eq!(wanted, [0..2, 50..52]);
    }
}
