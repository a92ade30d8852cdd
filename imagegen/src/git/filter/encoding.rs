//! `working-tree-encoding`: encoding UTF-8 as git does with iconv of glibc.

use gix::bstr::{BStr, ByteSlice};

use super::{
    failure::{self, Failure},
    iconv::{Iconv, Refused, is_glibc},
};
use crate::error::{Error, Kind};

/// Encodes a text piece by piece (git, `reencode_string_len`).
#[derive(Debug)]
pub(super) struct Encoder {
    iconv: Iconv,
    /// The byte order mark that git itself still has to write.
    mark: &'static [u8],
    /// The start of a character that the next piece completes.
    cut: Vec<u8>,
}

impl Encoder {
    /// An encoder of a text of `length` bytes to the encoding `name`.
    ///
    /// # Errors
    ///
    /// [`Failure::Refused`] if there is no such encoding,
    /// [`Kind::Unsupported`] if only this host has not got it.
    pub(super) fn new(name: &BStr, length: u64) -> failure::Result<Self> {
        let (iconv_name, mark) = split_mark(name);
        let iconv = Iconv::open(iconv_name, length).or_else(|| {
            // git's `fallback_encoding`.
            let latin = iconv_name.eq_ignore_ascii_case(b"latin-1");
            latin.then(|| Iconv::open(b"ISO-8859-1", length)).flatten()
        });
        let missing = || {
            if is_glibc(iconv_name) {
                Failure::Error(missing_here(name))
            } else {
                Failure::Refused
            }
        };
        Ok(Self {
            iconv: iconv.ok_or_else(missing)?,
            mark,
            cut: Vec::new(),
        })
    }

    /// Encodes the next piece.
    ///
    /// # Errors
    ///
    /// As [`Iconv::encode`].
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        if piece.is_empty() {
            return Ok(());
        }
        out.extend_from_slice(self.mark);
        self.mark = b"";
        let (whole, cut) = piece.split_at(piece.len() - unfinished(piece));
        if self.cut.is_empty() {
            self.iconv.encode(whole, out)?;
        } else {
            self.cut.extend_from_slice(whole);
            let whole = self.cut.len() - unfinished(&self.cut);
            let (text, rest) = self.cut.split_at(whole);
            self.iconv.encode(text, out)?;
            self.cut = rest.to_vec();
        }
        self.cut.extend_from_slice(cut);
        Ok(())
    }

    /// Ends the text.
    ///
    /// # Errors
    ///
    /// [`Refused`] if it ends within a character.
    pub(super) fn finish(&mut self) -> Result<(), Refused> {
        if self.cut.is_empty() {
            Ok(())
        } else {
            Err(Refused)
        }
    }
}

/// The name for iconv, and the mark that git writes for its own suffix `-BOM`.
/// (For other names iconv writes one if it likes.)
fn split_mark(name: &BStr) -> (&[u8], &'static [u8]) {
    let lower = name.to_ascii_lowercase();
    let utf = lower.strip_prefix(b"utf");
    match utf.map(|utf| utf.strip_prefix(b"-").unwrap_or(utf)) {
        Some(b"16le-bom") => (b"UTF-16LE", b"\xff\xfe"),
        Some(b"16be-bom") => (b"UTF-16BE", b"\xfe\xff"),
        _ => (name.as_bytes(), b""),
    }
}

/// The length of a character at the end of `text` that lacks bytes.
fn unfinished(text: &[u8]) -> usize {
    let last = text.iter().rev().take(3).zip(1..);
    let mut starts = last.filter(|(byte, _)| !matches!(byte, 0x80..0xc0));
    let Some((&start, length)) = starts.next() else {
        return 0;
    };
    let complete = match start {
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf8 => 4,
        _ => 1,
    };
    if length < complete { length } else { 0 }
}

fn missing_here(name: &BStr) -> Error {
    let message = format!(
        "the C library of this host lacks the working-tree-encoding {name}: install its gconv \
         modules (libc6 of Debian, glibc-gconv-extra of Fedora)"
    );
    Error::new(Kind::Unsupported, message)
}
