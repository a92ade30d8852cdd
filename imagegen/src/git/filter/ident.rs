//! `ident`: expanding `$Id$` to `$Id: <blob id> $`.
//!
//! git has two implementations that differ in corner cases. It uses the
//! streaming one unless another conversion needs the whole file: `text=auto`, or
//! an encoding.

use gix::{bstr::ByteSlice, oid};

const HEAD: &[u8] = b"$Id";

/// The state of the streaming implementation (git, `struct ident_filter`).
enum State {
    /// This many bytes of `$Id` and a NUL were matched and are not in `left`
    /// yet. (git's constant includes its terminating NUL.)
    Matching(usize),
    /// Between `$Id:` and the next `$` or the end of the line.
    Skipping,
}

/// The streaming implementation (git, `ident_filter_fn`), with its quirks: in
/// `$$Id$` the second dollar does not start a keyword, and `$Idx` right before a
/// keyword may be replaced together with it.
pub(super) fn streamed(blob: &[u8], id: &oid) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(blob.len());
    let mut left = Vec::new();
    let mut state = State::Matching(0);
    for &byte in blob {
        state = match state {
            State::Skipping => {
                left.push(byte);
                match byte {
                    b'$' if !is_foreign(&left) => {
                        left.truncate(HEAD.len());
                        left.extend_from_slice(&expansion(id));
                        drain(&mut out, &mut left)
                    }
                    b'$' | b'\n' => drain(&mut out, &mut left),
                    _ => State::Skipping,
                }
            }
            State::Matching(seen) if HEAD_AND_NUL.get(seen) == Some(&byte) => {
                State::Matching(seen + 1)
            }
            State::Matching(seen) => {
                left.extend_from_slice(matched(seen));
                match (seen, byte) {
                    (3, b'$') => left.extend_from_slice(&expansion(id)),
                    _ => left.push(byte),
                }
                match (seen, byte) {
                    (3, b':') => State::Skipping,
                    (3, b'$') => drain(&mut out, &mut left),
                    (3, _) => State::Matching(0),
                    _ => drain(&mut out, &mut left),
                }
            }
        };
    }
    if let State::Matching(seen) = state {
        left.extend_from_slice(matched(seen));
    }
    out.append(&mut left);
    (out != blob).then_some(out)
}

const HEAD_AND_NUL: &[u8] = b"$Id\0";

fn matched(seen: usize) -> &'static [u8] {
    HEAD_AND_NUL.split_at(seen).0
}

fn drain(out: &mut Vec<u8>, left: &mut Vec<u8>) -> State {
    out.append(left);
    State::Matching(0)
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
pub(super) fn whole(blob: &[u8], id: &oid) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(blob.len());
    let mut rest = blob;
    while let Some((before, after)) = rest.split_once_str("$") {
        out.extend_from_slice(before);
        out.push(b'$');
        rest = after;
        match after_keyword(after) {
            Keyword::Replace(behind) => {
                out.extend_from_slice(b"Id");
                out.extend_from_slice(&expansion(id));
                rest = behind;
            }
            Keyword::Keep => {}
            Keyword::Unfinished => break,
        }
    }
    out.extend_from_slice(rest);
    (out != blob).then_some(out)
}

/// What follows a dollar.
enum Keyword<'a> {
    /// A keyword to replace, and this text after it.
    Replace(&'a [u8]),
    /// Text to leave unchanged.
    Keep,
    /// The start of a keyword without a closing dollar.
    Unfinished,
}

fn after_keyword(text: &[u8]) -> Keyword<'_> {
    match text {
        [b'I', b'd', b'$', behind @ ..] => Keyword::Replace(behind),
        [b'I', b'd', b':', value @ ..] => match value.split_once_str("$") {
            None => Keyword::Unfinished,
            Some((value, behind)) if is_ours(value) => Keyword::Replace(behind),
            Some(_) => Keyword::Keep,
        },
        _ => Keyword::Keep,
    }
}

/// Whether git may have expanded the keyword: its value is on one line, with
/// spaces only right after the colon and at the end.
fn is_ours(value: &[u8]) -> bool {
    let inner = value.split_first().map_or(value, |(_, inner)| inner);
    let space = inner.find_byte(b' ').is_some_and(|at| at + 1 < inner.len());
    !value.contains(&b'\n') && !space
}
