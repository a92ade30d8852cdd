//! What an image needs of a commit.

use gix::{ObjectId, bstr::ByteSlice, oid};

use crate::error::{Error, Kind, Result};

/// A commit: its tree and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The commit's own id.
    pub id: ObjectId,
    /// The root of its files.
    pub tree: ObjectId,
    /// When it was committed, in seconds since 1970 UTC; 0 when git cannot
    /// read the time either.
    pub seconds: i64,
}

impl Commit {
    /// Reads the two lines that matter; a commit may have anything else in it.
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

/// The time in `Name <mail> 1700000000 +0100`.
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
    fn tree_and_time_are_found() {
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
