//! Comparing a checkout by git with the conversions of this crate.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails may panic"
)]

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
};

use gix::{ObjectId, bstr::ByteSlice, hash::Kind};

use crate::{
    Result,
    git::{Attributes, Blob, Conversion, vanilla::Vanilla},
    numbers::to_u64,
};

/// The files of a tree: path and content.
pub(crate) type Files = BTreeMap<Vec<u8>, Vec<u8>>;

/// Files from literals.
pub(crate) fn files<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Files {
    let owned = |(path, blob): (&str, &[u8])| (path.into(), blob.into());
    files.into_iter().map(owned).collect()
}

/// Asserts that git checks out the same files as the conversions give; returns
/// the number of files that are converted.
pub(crate) fn agree(files: &Files, kind: Kind) -> usize {
    let git = Vanilla::new(kind);
    let mut blobs: HashMap<&[u8], ObjectId> = HashMap::new();
    let mut entries = Vec::new();
    for (path, blob) in files {
        let id = *blobs.entry(blob).or_insert_with(|| git.blob(blob));
        entries.push((0o100_644, id, path.clone()));
    }
    git.stage(&entries);
    git.git(["commit", "-q", "-m", "files"]);
    git.git(["checkout", "-q", "-f", "HEAD", "--", "."]);

    let mut changed = 0;
    let mut ours = Walk::new(files);
    for (_, id, path) in &entries {
        let blob = &files[path];
        let converted = ours.attributes(path).conversion(path.as_bstr());
        let converted = converted.and_then(|conversion| apply(&conversion, *id, blob).unwrap().0);
        let theirs = fs::read(git.path().join(OsStr::from_bytes(path))).unwrap();
        let made = converted.as_ref().unwrap_or(blob);
        assert!(
            *made == theirs,
            "{}: {:?} from {:?}, but git writes {:?}",
            path.as_bstr(),
            made.as_bstr(),
            blob.as_bstr(),
            theirs.as_bstr()
        );
        changed += usize::from(converted.is_some());
    }
    changed
}

/// A walk over the files of a tree, as an image performs it.
pub(crate) struct Walk<'a> {
    files: &'a Files,
    attributes: Attributes,
    dirs: Vec<Vec<u8>>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(files: &'a Files) -> Self {
        let mut walk = Self {
            files,
            attributes: Attributes::new(),
            dirs: Vec::new(),
        };
        walk.enter(b"");
        walk
    }

    fn enter(&mut self, dir: &[u8]) {
        let slash: &[u8] = if dir.is_empty() { b"" } else { b"/" };
        let own = self
            .files
            .get(&[dir, slash, b".gitattributes"].concat())
            .map(Vec::as_slice);
        self.attributes.enter(dir.as_bstr(), own);
        self.dirs.push(dir.to_vec());
    }

    /// The attributes in the directory of `path`.
    pub(crate) fn attributes(&mut self, path: &[u8]) -> &Attributes {
        let inside = |dir: &[u8]| {
            dir.is_empty()
                || path
                    .strip_prefix(dir)
                    .is_some_and(|rest| rest.starts_with(b"/"))
        };
        while !inside(self.dirs.last().unwrap()) {
            self.attributes.leave();
            self.dirs.pop();
        }
        let known = self.dirs.last().unwrap().len();
        let slashes = path
            .iter()
            .enumerate()
            .filter(|(at, byte)| **byte == b'/' && *at > known);
        for (at, _) in slashes {
            self.enter(&path[..at]);
        }
        &self.attributes
    }
}

/// The converted content, if it changes, and whether it is encoded as asked for.
pub(crate) fn apply(
    conversion: &Conversion,
    id: ObjectId,
    content: &[u8],
) -> Result<(Option<Vec<u8>>, bool)> {
    let blob = Blob::InMemory(content.into());
    let measured = conversion.measure(&id, &blob)?;
    let mut bytes = Vec::new();
    let conversion = conversion.clone().as_measured(&measured);
    conversion.convert(&id, &blob, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    assert_eq!(measured.size, to_u64(bytes.len()), "measured wrongly");
    assert_eq!(measured.changed, bytes != content, "compared wrongly");
    Ok((measured.changed.then_some(bytes), measured.encoded))
}
