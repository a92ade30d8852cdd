//! Which reads follow one another, and what will be read next.
//!
//! On our disks the files of a tree lie in the tree's order, so a walk through
//! it is a sequence of small reads, one for each file, that the kernel's
//! readahead of a single file does not help.

use std::ops::Range;

/// Bytes that are read ahead in one piece.
pub(super) const CHUNK: u64 = 128 << 10;
/// How many streams are followed; a new one replaces the one that was quiet for
/// longest.
const MAX_STREAMS: usize = 8;
/// Bytes that may be skipped between two reads of a stream: files that are not
/// read, or that the kernel has already.
const MAX_SKIP: u64 = 512 << 10;
/// Bytes that a read may lie behind others that overtook it.
const MAX_LAG: u64 = 128 << 10;
/// Fewer reads in a row may be chance.
const MIN_READS: u32 = 3;

/// Reads that follow one another.
#[derive(Debug)]
struct Stream {
    /// Behind the last byte that was read.
    next: u64,
    /// The first chunk that was not read ahead.
    ahead: u64,
    /// How many, counted up to [`MIN_READS`].
    reads: u32,
    bytes: u64,
    /// The number of its last read among all reads.
    turn: u64,
}

impl Stream {
    fn is_followed_by(&self, read: &Range<u64>) -> bool {
        // Both ends are bounds only: the disk may begin or end before them.
        let first = self.next.saturating_sub(MAX_LAG);
        let last = self.next.saturating_add(MAX_SKIP);
        (first..=last).contains(&read.start)
    }

    /// The chunks to read ahead, so that `window` bytes are, but no more than
    /// were read: a stream may end at any time. None before half of them are
    /// used up.
    fn next_chunks(&mut self, window: u64, size: u64) -> Range<u64> {
        let window = window.min(self.bytes.max(CHUNK));
        let first = self.ahead.max(self.next / CHUNK);
        // Cut where the disk ends.
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

    /// Records a read of these bytes; returns the numbers of the chunks to read
    /// ahead.
    pub(super) fn record(&mut self, read: &Range<u64>, window: u64) -> Range<u64> {
        self.turn += 1;
        let turn = self.turn;
        let mut streams = self.followed.iter_mut();
        let Some(stream) = streams.find(|stream| stream.is_followed_by(read)) else {
            self.begin(read);
            return 0..0;
        };
        stream.turn = turn;
        stream.reads = MIN_READS.min(stream.reads + 1);
        stream.bytes += read.end - read.start;
        stream.next = stream.next.max(read.end);
        if stream.reads < MIN_READS {
            return 0..0;
        }
        stream.next_chunks(window, self.size)
    }

    fn begin(&mut self, read: &Range<u64>) {
        if self.followed.len() >= MAX_STREAMS {
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
        let chunks = read.map(|read| streams.record(&read, WINDOW));
        chunks.filter(|range| !range.is_empty()).collect()
    }

    #[test]
    fn a_stream_is_read_ahead_without_gap_or_repetition() {
        let mut streams = Streams::new(SIZE);
        let chunks = blocks(&mut streams, (0..20 * CHUNK).step_by(4096));
        assert_eq!(chunks[0].start, 0, "from where the stream is");
        assert!(chunks.windows(2).all(|two| two[0].end == two[1].start));
        let ahead = chunks.last().unwrap().end;
        assert!((20 + 2..=20 + 4).contains(&ahead), "{ahead}");
    }

    #[test]
    fn nothing_is_read_beyond_the_end_of_the_disk() {
        let mut streams = Streams::new(SIZE);
        let chunks = blocks(&mut streams, (97 * CHUNK..SIZE - 4096).step_by(4096));
        assert_eq!(chunks.last().unwrap().end, 101);
    }

    #[test]
    fn a_stream_may_skip_files_and_reads_may_overtake() {
        let mut streams = Streams::new(SIZE);
        let skipping = (0..10).map(|number| number * MAX_SKIP);
        assert!(!blocks(&mut streams, skipping).is_empty());
        let mut streams = Streams::new(SIZE);
        assert!(!blocks(&mut streams, [8192, 0, 4096, 16384, 12288]).is_empty());
    }

    #[test]
    fn random_reads_are_no_stream() {
        let mut streams = Streams::new(SIZE);
        let far = (0..90).map(|number| (number * 37 % 90) * (CHUNK + 1));
        let apart = far.filter(|offset| offset % (2 * MAX_SKIP) < 4096);
        assert_eq!(blocks(&mut streams, apart), []);
        assert_eq!(blocks(&mut streams, [0, 4096]), [], "two may be chance");
    }

    #[test]
    fn streams_do_not_disturb_each_other() {
        let mut streams = Streams::new(SIZE);
        let both = (0..20).flat_map(|step| [step * 4096, 50 * CHUNK + step * 4096]);
        let chunks = blocks(&mut streams, both);
        assert_eq!(chunks, [0..2, 50..52]);
    }
}
