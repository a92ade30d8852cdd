//! Commits: the two headers that an image depends on.

use gix::{ObjectId, bstr::ByteSlice, hash, oid};

use crate::error::{Error, Kind, Result};

/// A commit with its tree and its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The id of the commit.
    pub id: ObjectId,
    /// The id of its root tree.
    pub tree: ObjectId,
    /// The committer date in seconds since 1970; 0 if it is malformed, as in
    /// git (`parse_commit_date`).
    pub seconds: i64,
}

impl Commit {
    /// What an unborn branch shows: the empty tree. Its id is null.
    pub(crate) fn unborn(kind: hash::Kind) -> Self {
        Self {
            id: ObjectId::null(kind),
            tree: ObjectId::empty_tree(kind),
            seconds: 0,
        }
    }

    /// Parses the `tree` and `committer` headers; nothing else is checked.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if the first header is not a tree of the same object
    /// format.
    pub(super) fn parse(id: &oid, bytes: &[u8]) -> Result<Self> {
        let headers = bytes
            .split_once_str(b"\n\n")
            .map_or(bytes, |(headers, _)| headers);
        let line = |key: &[u8]| headers.lines().find_map(|line| line.strip_prefix(key));
        let tree = headers.strip_prefix(b"tree ").and_then(|_| line(b"tree "));
        let tree = tree
            .and_then(|hex| ObjectId::from_hex(hex).ok())
            .filter(|tree| tree.kind() == id.kind())
            .ok_or_else(|| Error::new(Kind::Corrupt, format!("commit {id} names no tree")))?;
        let seconds = line(b"committer ").and_then(seconds).unwrap_or(0);
        Ok(Self {
            id: id.to_owned(),
            tree,
            seconds,
        })
    }
}

/// The date in `Name <mail> 1700000000 +0100`.
fn seconds(committer: &[u8]) -> Option<i64> {
    let (_, time) = committer.rsplit_once_str(b">")?;
    time.fields().next()?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Commit> {
        Commit::parse(&ObjectId::Sha1([7; 20]), text.as_bytes())
    }

    #[test]
    fn tree_and_date_are_parsed() {
        let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let text = format!(
            "tree {tree}\nparent {tree}\nauthor A <a> 1 +0000\ncommitter C > D <c@d> 1700000000 \
             +0100\n\ncommitter X <x> 5 +0000\n"
        );
        let commit = parse(&text).unwrap();
        assert_eq!(
            (commit.tree.to_string().as_str(), commit.seconds),
            (tree, 1_700_000_000)
        );
        assert_eq!(parse(&format!("tree {tree}\n")).unwrap().seconds, 0);
        assert_eq!(
            parse(&format!("tree {tree}\ncommitter C <c> x y\n"))
                .unwrap()
                .seconds,
            0
        );
        assert_eq!(parse("author A\n").unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(parse("tree 12\n").unwrap_err().kind(), Kind::Corrupt);
        assert_eq!(parse("").unwrap_err().kind(), Kind::Corrupt);
    }
}
