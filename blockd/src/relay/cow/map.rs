//! Which blocks were changed: two bits for each block of the disk.

use super::record::{BLOCK, Kind, Record};
use crate::relay::buffer::position;

/// Where the bytes of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Upstream: it was not changed.
    Original,
    /// In the file `blocks`.
    Data,
    /// Nowhere: it is zeroes.
    Zero,
}

/// The state of every block of a disk.
#[derive(Clone, Debug)]
pub(super) struct Map {
    /// How many blocks the disk has.
    blocks: u64,
    /// One bit for each block that holds data.
    data: Vec<u64>,
    /// One bit for each block that is zeroes.
    zero: Vec<u64>,
    /// How many bits are set in either.
    counts: (u64, u64),
}

impl Map {
    /// The map of an unchanged disk of so many bytes.
    pub(super) fn new(size: u64) -> Self {
        let blocks = size.div_ceil(BLOCK);
        let words = position(blocks.div_ceil(64));
        Self {
            blocks,
            data: vec![0; words],
            zero: vec![0; words],
            counts: (0, 0),
        }
    }

    /// How many blocks hold data, and how many are zeroes.
    pub(super) fn counts(&self) -> (u64, u64) {
        self.counts
    }

    /// The state of a block of the disk.
    pub(super) fn get(&self, block: u64) -> Block {
        let (word, bit) = place(block);
        if self.data[word] & bit != 0 {
            Block::Data
        } else if self.zero[word] & bit != 0 {
            Block::Zero
        } else {
            Block::Original
        }
    }

    fn set(&mut self, block: u64, kind: Kind) {
        let (word, bit) = place(block);
        let before = self.get(block);
        let (data, zero) = (&mut self.data[word], &mut self.zero[word]);
        *data &= !bit;
        *zero &= !bit;
        match kind {
            Kind::Data => *data |= bit,
            Kind::Zero => *zero |= bit,
        }
        self.counts.0 -= u64::from(before == Block::Data);
        self.counts.1 -= u64::from(before == Block::Zero);
        self.counts.0 += u64::from(kind == Kind::Data);
        self.counts.1 += u64::from(kind == Kind::Zero);
    }

    /// Changes a range of blocks; `false`, and nothing is changed, when it does
    /// not lie on the disk.
    pub(super) fn apply(&mut self, record: Record) -> bool {
        let end = record.start.checked_add(record.count);
        let Some(end) = end.filter(|end| *end <= self.blocks) else {
            return false;
        };
        for block in record.start..end {
            self.set(block, record.kind);
        }
        true
    }

    /// Changes a range of blocks of the disk; returns the parts of it that were
    /// not so before.
    pub(super) fn change(&mut self, record: Record) -> Vec<Record> {
        let changed = match record.kind {
            Kind::Data => Block::Data,
            Kind::Zero => Block::Zero,
        };
        let mut news: Vec<Record> = Vec::new();
        for block in record.start..record.start + record.count {
            if self.get(block) == changed {
                continue;
            }
            self.set(block, record.kind);
            match news.last_mut() {
                Some(last) if last.start + last.count == block => last.count += 1,
                _ => news.push(Record {
                    start: block,
                    count: 1,
                    ..record
                }),
            }
        }
        news
    }

    /// Runs of blocks of one kind in a range, in order.
    pub(super) fn runs(&self, start: u64, end: u64) -> Vec<(Block, u64, u64)> {
        let mut runs: Vec<(Block, u64, u64)> = Vec::new();
        for block in start..end {
            let kind = self.get(block);
            match runs.last_mut() {
                Some((last, _, count)) if *last == kind => *count += 1,
                _ => runs.push((kind, block, 1)),
            }
        }
        runs
    }

    /// The whole map, as few records as possible.
    pub(super) fn records(&self) -> Vec<Record> {
        let runs = self.runs(0, self.blocks).into_iter();
        let records = runs.filter_map(|(block, start, count)| {
            let kind = match block {
                Block::Original => return None,
                Block::Data => Kind::Data,
                Block::Zero => Kind::Zero,
            };
            Some(Record { kind, start, count })
        });
        records.collect()
    }
}

/// The word and the bit of a block.
fn place(block: u64) -> (usize, u64) {
    (position(block / 64), 1 << (block % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind, start: u64, count: u64) -> Record {
        Record { kind, start, count }
    }

    #[test]
    fn only_changes_are_returned_and_the_whole_is_few_records() {
        let mut map = Map::new(100 * BLOCK);
        assert_eq!(
            map.change(record(Kind::Data, 10, 5)),
            [record(Kind::Data, 10, 5)]
        );
        assert_eq!(
            map.change(record(Kind::Data, 8, 9)),
            [record(Kind::Data, 8, 2), record(Kind::Data, 15, 2)]
        );
        assert_eq!(map.change(record(Kind::Data, 9, 3)), []);
        map.change(record(Kind::Zero, 10, 2));
        assert_eq!(map.counts(), (7, 2));
        let records = map.records();
        assert_eq!(
            records,
            [
                record(Kind::Data, 8, 2),
                record(Kind::Zero, 10, 2),
                record(Kind::Data, 12, 5)
            ]
        );
        let mut again = Map::new(100 * BLOCK);
        assert!(records.into_iter().all(|record| again.apply(record)));
        assert_eq!(again.records(), map.records());
        assert!(!again.apply(record(Kind::Data, 99, 2)));
        assert!(!again.apply(record(Kind::Data, u64::MAX, 2)));
    }
}
