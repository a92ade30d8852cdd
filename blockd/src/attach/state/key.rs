//! Names of directories: words for people, a hash for certainty, and no
//! character that means something to overlayfs.

/// The end of `words`, at most `longest` bytes, and a hash of `exact`.
pub(crate) fn key(words: &str, longest: usize, exact: &[u8]) -> String {
    let words = words
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let name: String = words.collect::<Vec<_>>().join("-");
    let from = name.len().saturating_sub(longest);
    format!("{}-{:016x}", &name[from..], fnv1a(exact))
}

/// FNV-1a: stable for ever, unlike the standard library's hashers.
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
