//! Loose objects, each a zlib stream in a file of its own.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use gix::{objs, oid};

use super::{
    Decoded,
    inflate::{Inflated, one_more},
};
use crate::{
    error::{Error, Kind, Result},
    git::wall::Wall,
    numbers::{to_u64, to_usize},
};

/// The longest header in bytes: a kind, a space, 20 digits and a NUL.
const HEADER_LIMIT: usize = 32;

/// An open loose object whose header was read.
pub(in crate::git) struct Loose {
    path: PathBuf,
    content: Inflated<BufReader<File>>,
    kind: objs::Kind,
    size: u64,
}

impl Loose {
    /// The path of an object in an object directory.
    pub(in crate::git) fn path_in(directory: &Path, id: &oid) -> PathBuf {
        let hex = id.to_hex().to_string();
        let (fan, rest) = hex.split_at(2);
        directory.join(fan).join(rest)
    }

    /// Opens the object; `None` if it is not in `directory`.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if the header is malformed, [`Kind::Refused`] if the
    /// file leads out, [`Kind::Io`] if the disk fails.
    pub(super) fn open(directory: &Path, id: &oid, wall: &Wall) -> Result<Option<Self>> {
        let path = Self::path_in(directory, id);
        let file = match wall.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path, error)),
        };
        let mut content = Inflated::new(BufReader::new(file));
        let header = read_header(&mut content).map_err(|error| damaged(&path, error))?;
        let Some((kind, size)) = parse_header(&header) else {
            let message = format!("{} has no object header", path.display());
            return Err(Error::new(Kind::Corrupt, message));
        };
        Ok(Some(Self {
            path,
            content,
            kind,
            size,
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::git) fn kind(&self) -> objs::Kind {
        self.kind
    }

    /// The length according to the header, in bytes.
    pub(in crate::git) fn size(&self) -> u64 {
        self.size
    }

    /// Reads the whole object; `None` if it has more than `limit` bytes.
    pub(super) fn decode(mut self, limit: u64) -> Result<Option<Decoded>> {
        if self.size > limit {
            return Ok(None);
        }
        // The header may be wrong, so memory grows with the content.
        let mut bytes = Vec::with_capacity(to_usize(self.size).min(1 << 20));
        let limit = one_more(self.size);
        let read = (&mut self.content).take(limit).read_to_end(&mut bytes);
        let read = read.map_err(|error| damaged(&self.path, error))?;
        if to_u64(read) != self.size {
            return Err(self.wrong_length());
        }
        let (kind, bytes) = (self.kind, bytes.into());
        Ok(Some(Decoded { kind, bytes }))
    }

    /// Copies the whole object to `out`.
    pub(in crate::git) fn copy_to(mut self, out: &mut dyn io::Write) -> Result<()> {
        let limit = one_more(self.size);
        let copied = io::copy(&mut (&mut self.content).take(limit), out);
        let copied = copied.map_err(|error| damaged(&self.path, error))?;
        if copied == self.size {
            Ok(())
        } else {
            Err(self.wrong_length())
        }
    }

    fn wrong_length(&self) -> Error {
        let message = format!(
            "{} is damaged: its content is not {} bytes long, as its header says",
            self.path.display(),
            self.size
        );
        Error::new(Kind::Corrupt, message)
    }
}

fn read_header(content: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut header, mut byte) = (Vec::new(), [0]);
    while header.len() < HEADER_LIMIT {
        content.read_exact(&mut byte)?;
        if byte == [0] {
            return Ok(header);
        }
        header.extend(byte);
    }
    Ok(Vec::new())
}

fn parse_header(header: &[u8]) -> Option<(objs::Kind, u64)> {
    let (kind, size) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let kind = objs::Kind::from_bytes(kind.as_bytes()).ok()?;
    let digits = size.bytes().all(|byte| byte.is_ascii_digit());
    Some((kind, size.parse().ok().filter(|_| digits)?))
}

fn damaged(path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Kind::Corrupt,
        _ => Kind::Io,
    };
    Error::with_source(
        kind,
        format!("{} cannot be read: {error}", path.display()),
        error,
    )
}
