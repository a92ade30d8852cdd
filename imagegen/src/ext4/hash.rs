//! The hash of a directory index: half MD4 with a seed (`fs/ext4/hash.c`).

use crate::numbers::exact;
use std::array;

/// `s_hash_seed`: constant, so that images are reproducible, and not zero,
/// which would select the kernel's own seed.
pub(super) const SEED: [u32; 4] = [0x1312_1110, 0x1716_1514, 0x1B1A_1918, 0x1F1E_1D1C];

/// The hash of a name. Entries of an indexed directory are in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hash {
    /// The key of the index. Its lowest bit is 0; in an index entry it is set
    /// when the block before ends with names of the same hash.
    pub(super) major: u32,
    /// Orders names of the same major hash.
    pub(super) minor: u32,
}

/// `ext4fs_dirhash`, `DX_HASH_HALF_MD4`
pub(super) fn half_md4(name: &[u8]) -> Hash {
    let mut state = transform(SEED, &words(name));
    let mut rest = name;
    while let Some((_, next)) = rest.split_first_chunk::<32>()
        && !next.is_empty()
    {
        state = transform(state, &words(next));
        rest = next;
    }
    let [_, major, minor, _] = state;
    Hash {
        major: before_end(major & !1),
        minor,
    }
}

/// Avoids the highest value, which stands for the end of a directory
/// (`EXT4_HTREE_EOF_32BIT`).
const fn before_end(major: u32) -> u32 {
    if major == 0xFFFF_FFFE {
        0xFFFF_FFFC
    } else {
        major
    }
}

/// `str2hashbuf_signed`: the first 32 bytes as eight words, padded with the
/// length of `rest`.
fn words(rest: &[u8]) -> [u32; 8] {
    let length: u32 = exact(rest.len());
    let pad = length | length << 8;
    let pad = pad | pad << 16;
    let mut words = [pad; 8];
    for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
        *word = bytes
            .iter()
            .fold(pad, |word, byte| signed(*byte).wrapping_add(word << 8));
    }
    words
}

fn signed(byte: u8) -> u32 {
    i32::from(byte.cast_signed()).cast_unsigned()
}

/// One of the three rounds of MD4, of which half MD4 takes half the steps.
struct Round {
    mix: fn(u32, u32, u32) -> u32,
    add: u32,
    order: [usize; 8],
    turns: [u32; 4],
}

const ROUNDS: [Round; 3] = [
    Round {
        mix: |x, y, z| z ^ (x & (y ^ z)),
        add: 0,
        order: [0, 1, 2, 3, 4, 5, 6, 7],
        turns: [3, 7, 11, 19],
    },
    Round {
        mix: |x, y, z| (x & y).wrapping_add((x ^ y) & z),
        add: 0x5A82_7999,
        order: [1, 3, 5, 7, 0, 2, 4, 6],
        turns: [3, 5, 9, 13],
    },
    Round {
        mix: |x, y, z| x ^ y ^ z,
        add: 0x6ED9_EBA1,
        order: [3, 7, 2, 6, 1, 5, 0, 4],
        turns: [3, 9, 11, 15],
    },
];

/// `half_md4_transform`
fn transform(state: [u32; 4], words: &[u32; 8]) -> [u32; 4] {
    let mut turned = state;
    for round in &ROUNDS {
        for (word, turns) in round.order.iter().zip(round.turns.iter().cycle()) {
            let [a, b, c, d] = turned;
            let sum = a.wrapping_add((round.mix)(b, c, d));
            let sum = sum.wrapping_add(words[*word]).wrapping_add(round.add);
            turned = [d, sum.rotate_left(*turns), b, c];
        }
    }
    array::from_fn(|i| state[i].wrapping_add(turned[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of
    /// `debugfs -R 'dx_hash -h half_md4 -s 10111213-1415-1617-1819-1a1b1c1d1e1f NAME'`
    /// of e2fsprogs 1.47.0.
    #[test]
    fn hashes_agree_with_debugfs() {
        let expected: [(&[u8], u32, u32); 8] = [
            (b"a", 0x9375_f05e, 0x3714_d04b),
            (b"hello", 0x950b_050a, 0x86a9_c508),
            (b"README.md", 0x020f_ed20, 0x1654_ba30),
            (&[b'x'; 32], 0x3898_d3d2, 0xb1b5_4bcd),
            (
                b"0123456789abcdef0123456789abcdef0",
                0x2364_ca80,
                0xfd53_5eff,
            ),
            (
                &[b"abcdefg".repeat(36), b"abc".to_vec()].concat(),
                0x631e_b8e0,
                0x7d35_1739,
            ),
            ("caf\u{e9}".as_bytes(), 0xb1ea_a5d4, 0xc5ad_4bd6),
            (b"\xff\x80\xe9n7", 0xf212_2354, 0xcf68_0a19),
        ];
        for (name, major, minor) in expected {
            assert_eq!(
                half_md4(name),
                Hash { major, minor },
                "{}",
                name.escape_ascii()
            );
        }
    }

    #[test]
    fn the_lowest_bit_and_the_highest_value_are_not_used() {
        assert_eq!(before_end(0xFFFF_FFFE), 0xFFFF_FFFC);
        assert_eq!(before_end(0xFFFF_FFFC), 0xFFFF_FFFC);
        assert!((0..1000_u32).all(|n| half_md4(&n.to_le_bytes()).major & 1 == 0));
    }
}
