//! The bytes of a tree object.

use imagegen::git::{EntryMode, ObjectId, parse_tree};

/// Parses `data` as a tree of either object format. A tree that is accepted
/// follows git's rules, and is the same after another round of formatting and
/// parsing.
pub fn tree(data: &[u8]) {
    for id in [ObjectId::Sha1([0; 20]), ObjectId::Sha256([0; 32])] {
        let Ok(listing) = parse_tree(&id, data) else {
            continue;
        };
        assert_eq!(listing.iter().count(), listing.len());
        let mut before: Option<Vec<u8>> = None;
        let mut again = Vec::new();
        for entry in listing.iter() {
            assert!((1..=255).contains(&entry.name.len()));
            assert!(![&b"."[..], b"..", b".git"].contains(&entry.name));
            assert!(!entry.name.contains(&b'/') && !entry.name.contains(&0));
            assert_eq!(EntryMode::from_bits(entry.mode.bits()), entry.mode);
            let mut key = entry.name.to_vec();
            if entry.mode == EntryMode::Directory {
                key.push(b'/');
            }
            assert!(
                before
                    .replace(key.clone())
                    .is_none_or(|before| before < key)
            );
            again.extend(format!("{:o} ", entry.mode.bits()).bytes());
            again.extend(entry.name);
            again.push(0);
            again.extend(entry.id.as_bytes());
        }
        let listed = format!("{listing:?}");
        let listing = parse_tree(&id, &again).expect("a listing is a tree");
        assert_eq!(format!("{listing:?}"), listed);
    }
}
