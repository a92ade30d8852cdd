//! The last output of a run, for those who watch it: whoever falls behind gets a
//! snapshot of the screen in place of what he has missed. So a watcher costs no
//! memory, however slow he is.

use std::collections::VecDeque;

/// How many bytes are retained.
const CAPACITY: usize = 256 << 10;

/// A place in the output of a run. Places before and after a change of the
/// terminal's size do not compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    generation: u64,
    offset: u64,
}

/// The last output of a run.
#[derive(Debug, Default)]
pub struct Recent {
    bytes: VecDeque<u8>,
    /// The offset of the first of them.
    first: u64,
    /// How often the terminal has changed its size.
    generation: u64,
}

impl Recent {
    /// Appends a piece of output, which ends with no incomplete sequence.
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.extend(piece);
        let excess = self.bytes.len().saturating_sub(CAPACITY);
        self.bytes.drain(..excess);
        self.first += to_u64(excess);
    }

    /// Forgets everything: what was put out means something else on a terminal of
    /// another size.
    pub fn restart(&mut self) {
        self.first += to_u64(self.bytes.len());
        self.bytes.clear();
        self.generation += 1;
    }

    /// The place after the last byte.
    pub fn end(&self) -> Position {
        Position {
            generation: self.generation,
            offset: self.first + to_u64(self.bytes.len()),
        }
    }

    /// At most `most` bytes from a place on, and the place after them; none when
    /// they are not retained.
    pub fn since(&self, from: Position, most: usize) -> Option<(Vec<u8>, Position)> {
        let skipped = from.offset.checked_sub(self.first)?;
        let skipped = usize::try_from(skipped).ok()?;
        if from.generation != self.generation || skipped > self.bytes.len() {
            return None;
        }
        let bytes: Vec<u8> = self.bytes.range(skipped..).take(most).copied().collect();
        let after = Position {
            offset: from.offset + to_u64(bytes.len()),
            ..from
        };
        Some((bytes, after))
    }
}

fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("usize has at most 64 bits")
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Recent};

    #[test]
    fn a_watcher_gets_all_or_learns_that_he_is_late() {
        let mut recent = Recent::default();
        let start = recent.end();
        recent.push(b"hello");
        let (bytes, after) = recent.since(start, 3).unwrap();
        assert_eq!(bytes, b"hel");
        assert_eq!(recent.since(after, 9).unwrap().0, b"lo");
        assert_eq!(recent.since(recent.end(), 9).unwrap().0, b"");
        recent.push(&vec![b'x'; CAPACITY]);
        assert!(recent.since(start, 3).is_none());
        assert_eq!(recent.bytes.len(), CAPACITY);
        let before = recent.end();
        recent.restart();
        assert!(recent.since(before, 3).is_none());
        assert_eq!(recent.since(recent.end(), 3).unwrap().0, b"");
    }
}
