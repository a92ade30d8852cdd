//! Names of directories: readable words and a hash, without characters that
//! the mount options of overlayfs give a meaning to.

/// The last `max_words_len` bytes of the ASCII words of `words`, then a hash of
/// `exact`.
pub(crate) fn key(words: &str, max_words_len: usize, exact: &[u8]) -> String {
    let words = words
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let name: String = words.collect::<Vec<_>>().join("-");
    let cut = name.len().checked_sub(max_words_len);
    let name = cut.map_or(name.as_str(), |cut| &name[cut..]);
    format!("{name}-{:016x}", fnv1a(exact))
}

/// FNV-1a. Directories are found again by it, so it must never change, as the
/// standard library's hashers may.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_readable_short_and_never_change() {
        let of = |path: &str| key(path, 40, path.as_bytes());
        assert_eq!(of("/srv/work"), "srv-work-add4cb61bb1402f9");
        assert_eq!(of("/a,b:c\\ d").split('-').count(), 5);
        assert!(of(&"/long/directory".repeat(20)).len() < 64);
        assert_ne!(of("/a/b"), of("/a-b"));
    }
}
