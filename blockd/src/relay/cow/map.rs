//! Which blocks were changed: two bits for each block of the disk.

use super::journal::{Kind, Record};

/// Bytes of a block, the unit of change.
pub(super) const BLOCK: u64 = 4096;

/// What is known of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// As the upstream has it.
    Original,
    /// In our file.
    Data,
    /// Zeroes, without storage.
    Zero,
}

#[derive(Clone, Debug)]
pub(super) struct Map {
    blocks: u64,
    data: Vec<u64>,
    zero: Vec<u64>,
    counts: (u64, u64),
}

impl Map {
    pub(super) fn new(size: u64) -> Self {
        let blocks = size.div_ceil(BLOCK);
        let words = usize::try_from(blocks.div_ceil(64)).unwrap_or(usize::MAX);
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

    pub(super) fn get(&self, block: u64) -> Block {
        let (word, bit) = place(block);
        if self.data.get(word).is_some_and(|bits| bits & bit != 0) {
            Block::Data
        } else if self.zero.get(word).is_some_and(|bits| bits & bit != 0) {
            Block::Zero
        } else {
            Block::Original
        }
    }

    fn set(&mut self, block: u64, kind: Kind) {
        let (word, bit) = place(block);
        let before = self.get(block);
        let (Some(data), Some(zero)) = (self.data.get_mut(word), self.zero.get_mut(word)) else {
            return;
        };
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

    /// Changes a range of blocks; `false` when it does not lie on the disk.
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

    /// The same, and the parts of it that are news.
    pub(super) fn note(&mut self, record: Record) -> Vec<Record> {
        let wanted = match record.kind {
            Kind::Data => Block::Data,
            Kind::Zero => Block::Zero,
        };
        let mut news: Vec<Record> = Vec::new();
        for block in record.start..record.start + record.count {
            if self.get(block) == wanted {
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

    /// The whole map as few records.
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

fn place(block: u64) -> (usize, u64) {
    let word = usize::try_from(block / 64).unwrap_or(usize::MAX);
    (word, 1 << (block % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind, start: u64, count: u64) -> Record {
        Record { kind, start, count }
    }

    #[test]
    fn only_news_is_told_and_the_whole_is_few_records() {
        let mut map = Map::new(100 * BLOCK);
        assert_eq!(
            map.note(record(Kind::Data, 10, 5)),
            [record(Kind::Data, 10, 5)]
        );
        assert_eq!(
            map.note(record(Kind::Data, 8, 9)),
            [record(Kind::Data, 8, 2), record(Kind::Data, 15, 2)]
        );
        assert_eq!(map.note(record(Kind::Data, 9, 3)), []);
        map.note(record(Kind::Zero, 10, 2));
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
