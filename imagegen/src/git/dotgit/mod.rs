//! The files of the `.git` that an image shows, except those in `objects/`.
//! They depend on the commit and the snapshot only.

mod config;
pub(crate) mod index;
mod refs;

#[cfg(test)]
mod tests;

use gix::{ObjectId, bstr::BString, hash::Kind};

use crate::git::{Refs, Snapshot};

use config::Config;
use refs::Head;

/// The directories of a `.git` that exist also without files in them, sorted.
/// git requires `objects` and `refs`.
pub(crate) const DIRECTORIES: [&str; 6] = [
    "objects",
    "objects/info",
    "objects/pack",
    "refs",
    "refs/heads",
    "refs/tags",
];

/// git's template. Only repository browsers show it.
const DESCRIPTION: &[u8] =
    b"Unnamed repository; edit this file 'description' to name the repository.\n";

/// The files of `.git` except `index` and those in `objects`, with HEAD at
/// `commit`.
pub(crate) fn small_files(snapshot: &Snapshot, commit: ObjectId) -> Vec<(BString, Vec<u8>)> {
    let parts = Parts {
        kind: snapshot.object_format(),
        refs: snapshot.refs(),
        origin: snapshot.origin(),
        shallow: snapshot.shallow(),
    };
    parts.files(commit)
}

/// The parts of a snapshot that these files depend on.
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
