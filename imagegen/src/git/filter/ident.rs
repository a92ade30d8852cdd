//! `ident`: expanding `$Id$` to `$Id: <blob id> $`.
//!
//! git has two implementations that differ in corner cases. It uses the
//! streaming one unless another conversion needs the whole file: `text=auto`, or
//! an encoding. Here both read piece by piece.

use gix::{bstr::ByteSlice, oid};

use super::failure::{Failure, Result};
use crate::error::{Error, Kind};

const HEAD: &[u8] = b"$Id";
const HEAD_AND_NUL: &[u8] = b"$Id\0";

/// The longest text in bytes that may turn out to be a keyword: as long as the
/// largest blob in memory. git has no bound.
const LONGEST: usize = 32 << 20;

/// The streaming implementation (git, `ident_filter_fn`), with its quirks: in
/// `$$Id$` the second dollar does not start a keyword, and `$Idx` right before a
/// keyword may be replaced together with it.
#[derive(Debug)]
pub(super) struct Streamed {
    expansion: Vec<u8>,
    left: Vec<u8>,
    state: State,
}

/// The state of the streaming implementation (git, `struct ident_filter`).
#[derive(Debug)]
enum State {
    /// This many bytes of `$Id` and a NUL were matched and are not in `left`
    /// yet. (git's constant includes its terminating NUL.)
    Matching(usize),
    /// Between `$Id:` and the next `$` or the end of the line.
    Skipping,
}

impl Streamed {
    pub(super) fn new(id: &oid) -> Self {
        Self {
            expansion: expansion(id),
            left: Vec::new(),
            state: State::Matching(0),
        }
    }

    /// Converts the next piece.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] for a keyword of more than [`LONGEST`] bytes.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<()> {
        for &byte in piece {
            self.state = match self.state {
                State::Skipping => self.skip(byte, out),
                State::Matching(seen) if HEAD_AND_NUL.get(seen) == Some(&byte) => {
                    State::Matching(seen + 1)
                }
                State::Matching(seen) => self.mismatch(seen, byte, out),
            };
        }
        check_length(&self.left)
    }

    fn skip(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        self.left.push(byte);
        match byte {
            b'$' if !is_foreign(&self.left) => {
                self.left.truncate(HEAD.len());
                self.left.extend_from_slice(&self.expansion);
                self.drain(out)
            }
            b'$' | b'\n' => self.drain(out),
            _ => State::Skipping,
        }
    }

    fn mismatch(&mut self, seen: usize, byte: u8, out: &mut Vec<u8>) -> State {
        self.left.extend_from_slice(matched(seen));
        match (seen, byte) {
            (3, b'$') => self.left.extend_from_slice(&self.expansion),
            _ => self.left.push(byte),
        }
        match (seen, byte) {
            (3, b':') => State::Skipping,
            (3, b'$') => self.drain(out),
            (3, _) => State::Matching(0),
            _ => self.drain(out),
        }
    }

    fn drain(&mut self, out: &mut Vec<u8>) -> State {
        out.append(&mut self.left);
        State::Matching(0)
    }

    /// Ends the text.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if let State::Matching(seen) = self.state {
            self.left.extend_from_slice(matched(seen));
        }
        out.append(&mut self.left);
    }
}

fn matched(seen: usize) -> &'static [u8] {
    HEAD_AND_NUL.split_at(seen).0
}

/// Whether a keyword, dollars included, was expanded by another system: it then
/// has white space in the middle.
fn is_foreign(keyword: &[u8]) -> bool {
    // git searches it as a C string.
    let text = keyword
        .split_once_str(b"\0")
        .map_or(keyword, |(text, _)| text);
    let Some(value) = text.strip_prefix(b"$Id: ") else {
        return false;
    };
    let followers = value.iter().skip(1).map(Some).chain([None]);
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    value
        .iter()
        .zip(followers)
        .any(|(byte, next)| is_space(byte) && next != Some(&b'$'))
}

/// The expansion after `$Id`.
fn expansion(id: &oid) -> Vec<u8> {
    format!(": {id} $").into_bytes()
}

/// The implementation for whole files (git, `ident_to_worktree`).
#[derive(Debug)]
pub(super) struct Whole {
    expansion: Vec<u8>,
    /// What follows a dollar and may belong to a keyword.
    left: Vec<u8>,
    at: At,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In other text.
    Text,
    /// After a dollar and a part of `Id`.
    Name,
    /// After `$Id:`.
    Value,
}

impl Whole {
    pub(super) fn new(id: &oid) -> Self {
        Self {
            expansion: expansion(id),
            left: Vec::new(),
            at: At::Text,
        }
    }

    /// Converts the next piece.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] for a keyword of more than [`LONGEST`] bytes.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<()> {
        for &byte in piece {
            let continues = match self.at {
                At::Text => false,
                At::Name => self.name(byte, out),
                At::Value => self.value(byte, out),
            };
            if !continues {
                out.append(&mut self.left);
                out.push(byte);
                self.at = if byte == b'$' { At::Name } else { At::Text };
            }
        }
        check_length(&self.left)
    }

    /// A byte after a dollar and a part of `Id`; whether it belongs to the
    /// keyword.
    fn name(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        match (self.left.as_slice(), byte) {
            (b"", b'I') | (b"I", b'd') => self.left.push(byte),
            (b"Id", b':') => {
                self.left.push(byte);
                self.at = At::Value;
            }
            (b"Id", b'$') => self.expand(out),
            _ => return false,
        }
        true
    }

    /// A byte after `$Id:`; whether it belongs to the keyword. One that git
    /// itself expands is on one line.
    fn value(&mut self, byte: u8, out: &mut Vec<u8>) -> bool {
        match byte {
            b'$' if is_ours(&self.left) => self.expand(out),
            b'$' | b'\n' => return false,
            _ => self.left.push(byte),
        }
        true
    }

    fn expand(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Id");
        out.extend_from_slice(&self.expansion);
        self.left.clear();
        self.at = At::Text;
    }

    /// Ends the text.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.left);
    }
}

/// Whether git may have expanded `Id:` and this value: it has spaces only right
/// after the colon and at the end.
fn is_ours(keyword: &[u8]) -> bool {
    let inner = keyword.split_at_checked(b"Id: ".len());
    let inner = inner.map_or(b"".as_slice(), |(_, inner)| inner);
    inner.find_byte(b' ').is_none_or(|at| at + 1 == inner.len())
}

fn check_length(left: &[u8]) -> Result<()> {
    if left.len() <= LONGEST {
        return Ok(());
    }
    let message = format!("an ident keyword of more than {LONGEST} bytes is not supported");
    Err(Failure::Error(Error::new(Kind::Unsupported, message)))
}
