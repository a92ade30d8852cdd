//! The manifest of a snapshot: its content as text. The hash of the manifest
//! is the id of the snapshot.

use std::fmt::Write as _;

use gix::{
    ObjectId,
    bstr::{BString, ByteSlice, ByteVec},
    hash,
};

use super::SnapshotId;
use crate::{
    error::{Error, Kind, Result},
    git::{Ref, Refs},
};

/// The first line, with the version of the format. Another format gives other
/// ids and so makes existing snapshots useless.
const TITLE: &str = "imagegen snapshot 2";

/// The content of a snapshot. Equal manifests give equal images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) format: hash::Kind,
    /// The `remote.origin.url` of the repository, if it has one.
    pub(super) origin: Option<String>,
    pub(super) shallow: Vec<ObjectId>,
    pub(super) refs: Refs,
    /// Sorted by path.
    pub(super) files: Vec<FileLine>,
}

/// A file of `objects/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileLine {
    /// Printable ASCII.
    pub(super) path: String,
    pub(super) size: u64,
    /// The trailing checksum of a pack, an index or a commit-graph in hex; none
    /// for a loose object, which its path identifies.
    pub(super) trailer: Option<String>,
}

impl Manifest {
    pub(super) fn id(&self) -> SnapshotId {
        SnapshotId::of(&self.encode())
    }

    /// The text: one line per item, in a fixed order.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut head = format!("{TITLE}\nformat {}\n", self.format);
        if let Some(origin) = &self.origin {
            let _ = writeln!(head, "origin {origin}");
        }
        for id in &self.shallow {
            let _ = writeln!(head, "shallow {id}");
        }
        let mut text = Vec::from(head);
        let Refs {
            branches,
            tags,
            tracking,
            head,
            tracking_head,
        } = &self.refs;
        for (word, name) in [("head ", head), ("remote-head ", tracking_head)] {
            if let Some(name) = name {
                text.extend_from_slice(&[word.as_bytes(), name.as_slice(), b"\n"].concat());
            }
        }
        for Ref { name, id, peeled } in branches.iter().chain(tags).chain(tracking) {
            text.push_str(format!(
                "ref {id} {} ",
                peeled.map_or("-".into(), |id| id.to_string())
            ));
            text.push_str(name);
            text.push(b'\n');
        }
        for FileLine {
            path,
            size,
            trailer,
        } in &self.files
        {
            let trailer = trailer.as_deref().unwrap_or("-");
            text.push_str(format!("file {size} {trailer} {path}\n"));
        }
        text
    }

    /// Parses the output of [`Manifest::encode`] and verifies that its id is
    /// `id`.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if it is not, or the text is malformed.
    pub(super) fn decode(text: &[u8], id: SnapshotId) -> Result<Self> {
        let manifest = (SnapshotId::of(text) == id)
            .then(|| Self::parse(text))
            .flatten();
        manifest.ok_or_else(|| {
            Error::new(
                Kind::Corrupt,
                format!("the manifest of snapshot {id} is damaged"),
            )
        })
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text.lines();
        lines.next().filter(|line| *line == TITLE.as_bytes())?;
        let format = lines.next()?.strip_prefix(b"format ")?;
        let format = hash::Kind::all()
            .iter()
            .find(|kind| kind.to_string().as_bytes() == format)?;
        let (shallow, refs, files) = (Vec::new(), Refs::default(), Vec::new());
        let mut manifest = Self {
            format: *format,
            origin: None,
            shallow,
            refs,
            files,
        };
        for line in lines {
            manifest.parse_line(line)?;
        }
        Some(manifest)
    }

    fn parse_line(&mut self, line: &[u8]) -> Option<()> {
        let (word, rest) = line.split_once_str(b" ")?;
        match word {
            b"origin" => self.origin = Some(rest.to_str().ok()?.to_owned()),
            b"shallow" => self.shallow.push(ObjectId::from_hex(rest).ok()?),
            b"head" => self.refs.head = Some(BString::from(rest)),
            b"remote-head" => self.refs.tracking_head = Some(BString::from(rest)),
            b"ref" => {
                let reference = parse_ref(rest)?;
                let refs = &mut self.refs;
                let list = match &*reference.name {
                    name if name.starts_with(b"refs/heads/") => &mut refs.branches,
                    name if name.starts_with(b"refs/remotes/") => &mut refs.tracking,
                    _ => &mut refs.tags,
                };
                list.push(reference);
            }
            b"file" => self.files.push(parse_file(rest)?),
            _ => return None,
        }
        Some(())
    }
}

fn parse_ref(text: &[u8]) -> Option<Ref> {
    let (id, rest) = text.split_once_str(b" ")?;
    let (peeled, name) = rest.split_once_str(b" ")?;
    let peeled = match peeled {
        b"-" => None,
        hex => Some(ObjectId::from_hex(hex).ok()?),
    };
    Some(Ref {
        name: name.into(),
        id: ObjectId::from_hex(id).ok()?,
        peeled,
    })
}

fn parse_file(text: &[u8]) -> Option<FileLine> {
    let (size, rest) = text.to_str().ok()?.split_once(' ')?;
    let (trailer, path) = rest.split_once(' ')?;
    let trailer = (trailer != "-").then(|| trailer.to_owned());
    Some(FileLine {
        path: path.to_owned(),
        size: size.parse().ok()?,
        trailer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_parsed_as_it_is_written() {
        let id = |byte| ObjectId::Sha1([byte; 20]);
        let branch = Ref {
            name: "refs/heads/ä".into(),
            id: id(1),
            peeled: None,
        };
        let tag = Ref {
            name: "refs/tags/v1".into(),
            id: id(2),
            peeled: Some(id(1)),
        };
        let tracking = Ref {
            name: "refs/remotes/origin/x".into(),
            id: id(1),
            peeled: None,
        };
        let file = |path: &str, trailer: Option<&str>| FileLine {
            path: path.into(),
            size: 7,
            trailer: trailer.map(str::to_owned),
        };
        let manifest = Manifest {
            format: hash::Kind::Sha1,
            origin: Some("https://example.org/a b.git".into()),
            shallow: vec![id(3)],
            refs: Refs {
                branches: vec![branch],
                tags: vec![tag],
                tracking: vec![tracking],
                head: Some("refs/heads/x".into()),
                tracking_head: Some("refs/remotes/origin/x".into()),
            },
            files: vec![file("01/23", None), file("pack/pack-1.pack", Some("abcd"))],
        };
        let text = manifest.encode();
        assert_eq!(Manifest::decode(&text, manifest.id()).unwrap(), manifest);
        insta::assert_snapshot!(text.to_str().unwrap(), @r"
        imagegen snapshot 2
        format sha1
        origin https://example.org/a b.git
        shallow 0303030303030303030303030303030303030303
        head refs/heads/x
        remote-head refs/remotes/origin/x
        ref 0101010101010101010101010101010101010101 - refs/heads/ä
        ref 0202020202020202020202020202020202020202 0101010101010101010101010101010101010101 refs/tags/v1
        ref 0101010101010101010101010101010101010101 - refs/remotes/origin/x
        file 7 - 01/23
        file 7 abcd pack/pack-1.pack
        ");
        let other = SnapshotId::of(b"other");
        assert_eq!(
            Manifest::decode(&text, other).unwrap_err().kind(),
            Kind::Corrupt
        );
    }
}
