//! Compressed bitmaps, as extensions of an index have them (git,
//! `Documentation/gitformat-bitmap.adoc`, "EWAH bitmap compression"; `ewah/`).
//!
//! Words of 64 bits: a marker says how many words of the same bit follow, which
//! are left out, and how many words after them are stored.

use crate::numbers::{exact, to_u64};

/// The bits of a word.
const WORD: u64 = 64;

/// The bitmap of `bits` ones.
pub(super) fn ones(bits: u32) -> Vec<u8> {
    let (full, rest) = (u64::from(bits) / WORD, u64::from(bits) % WORD);
    let marker = u64::from(full > 0) | (full << 1) | (u64::from(rest > 0) << 33);
    let stored = (rest > 0).then(|| (1 << rest) - 1);
    let words: Vec<u64> = [marker].into_iter().chain(stored).collect();
    encode(bits, &words, 0)
}

/// The bitmap with ones at these positions, which ascend.
pub(super) fn of(positions: &[u32]) -> Vec<u8> {
    let mut words = vec![0];
    let (mut marker, mut next) = (0, 0);
    for group in positions.chunk_by(|one, other| u64::from(*one) / WORD == u64::from(*other) / WORD)
    {
        let Some(first) = group.first() else { continue };
        let number = u64::from(*first) / WORD;
        let word = group
            .iter()
            .fold(0, |word, bit| word | (1 << (u64::from(*bit) % WORD)));
        // A word that does not follow the one before takes a marker of its own.
        if number != next && words.len() > marker + 1 {
            marker = words.len();
            words.push(0);
        }
        let counts = words.get_mut(marker).expect("the marker was pushed");
        *counts += (number - next) << 1 | (1 << 33);
        words.push(word);
        next = number + 1;
    }
    encode(positions.last().map_or(0, |last| last + 1), &words, marker)
}

fn encode(bits: u32, words: &[u64], last_marker: usize) -> Vec<u8> {
    let count: u32 = exact(words.len());
    let last_marker: u32 = exact(last_marker);
    let mut bytes = [bits, count].map(u32::to_be_bytes).concat();
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes.extend(last_marker.to_be_bytes());
    debug_assert_eq!(to_u64(bytes.len()), 12 + 8 * to_u64(words.len()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The positions of the ones, as git reads them.
    fn decode(bytes: &[u8]) -> Vec<u32> {
        let (words, _) = bytes
            .split_at(bytes.len() - 4)
            .0
            .split_at(8)
            .1
            .as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_be_bytes(*word));
        let (mut ones, mut at) = (Vec::new(), 0);
        while let Some(marker) = words.next() {
            let run = (marker >> 1) & 0xffff_ffff;
            if marker & 1 == 1 {
                ones.extend((at..at + run * WORD).map(exact::<u32, u64>));
            }
            at += run * WORD;
            for word in words.by_ref().take(exact(marker >> 33)) {
                let set = (0..WORD).filter(|bit| word >> bit & 1 == 1);
                ones.extend(set.map(|bit| exact::<u32, u64>(at + bit)));
                at += WORD;
            }
        }
        ones
    }

    #[test]
    fn bits_are_read_as_they_were_written() {
        for bits in [0, 1, 63, 64, 65, 640, 700] {
            assert_eq!(decode(&ones(bits)), (0..bits).collect::<Vec<_>>());
        }
        let some: &[&[u32]] = &[
            &[],
            &[0],
            &[63, 64],
            &[5, 700, 701, 764, 5000],
            &[128, 4096, 4097],
            &[64, 128, 256],
        ];
        for positions in some {
            assert_eq!(decode(&of(positions)), *positions);
        }
    }
}
