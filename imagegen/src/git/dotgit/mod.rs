//! The bytes of the `.git` that an image shows beside the work tree.
//!
//! Only `objects/` is the served repository's own; everything here is made
//! from the commit and the snapshot, and from nothing else.

mod config;
pub mod index;
mod refs;

#[cfg(test)]
mod tests;

use gix::{ObjectId, bstr::BString, hash::Kind};

use crate::git::{Refs, Snapshot};

use config::Config;
use refs::Head;

/// The directories of a `.git` that no file brings along, sorted. Without
/// `objects` and `refs` git sees no repository.
pub const DIRECTORIES: [&str; 6] = [
    "objects",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "refs/tags",
];

/// As git has it; only programs that show repositories to people read it.
const DESCRIPTION: &[u8] =
    b"Unnamed repository; edit this file 'description' to name the repository.\n";

/// The files of `.git` besides `index` and what lies under `objects`, sorted by
/// their paths, with HEAD at `commit`.
pub fn small_files(snapshot: &Snapshot, commit: ObjectId) -> Vec<(BString, Vec<u8>)> {
    let parts = Parts {
        kind: snapshot.object_format(),
        refs: snapshot.refs(),
        origin: snapshot.origin(),
        shallow: snapshot.shallow(),
    };
    parts.files(commit)
}

/// What of a snapshot the small files are made from.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    kind: Kind,
    refs: &'a Refs,
    origin: Option<&'a str>,
    shallow: Option<&'a [u8]>,
}

impl Parts<'_> {
    fn files(&self, commit: ObjectId) -> Vec<(BString, Vec<u8>)> {
        let head = Head::of(self.refs, commit);
        let origin = self.origin.map(str::as_bytes);
        let config = Config {
            kind: self.kind,
            origin,
            branch: head.branch(),
        };
        let mut files = vec![
            ("HEAD", head.encode()),
            ("config", config.encode()),
            ("description", DESCRIPTION.to_vec()),
            ("info/exclude", Vec::new()),
            ("packed-refs", refs::packed(self.refs, &head, commit)),
        ];
        files.extend(refs::origin_head(self.refs).map(|file| ("refs/remotes/origin/HEAD", file)));
        files.extend(self.shallow.map(|file| ("shallow", file.to_vec())));
        files
            .into_iter()
            .map(|(path, content)| (path.into(), content))
            .collect()
    }
}
