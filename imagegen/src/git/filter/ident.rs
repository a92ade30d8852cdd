//! `ident`: `$Id$` becomes `$Id: <the blob's id> $`.
//!
//! git does it in two ways that differ at the edges, and uses the first for
//! every file it can write piece by piece, that is unless `text=auto` or an
//! encoding asks for the whole of it.

use gix::{bstr::ByteSlice, oid};

const HEAD: &[u8] = b"$Id";

/// Where the first way stands (`ident_filter`).
enum State {
    /// This many bytes of `$Id` and the NUL behind it were seen, and are not
    /// in `left` yet. (git counts the NUL that ends its constant.)
    Matching(usize),
    /// Between `$Id:` and the next `$` or the end of the line.
    Skipping,
}

/// The first way, `ident_filter_fn`, with its surprises: in `$$Id$` the second
/// dollar is never seen as a beginning; `$Idx` right before a keyword is kept
/// together with it and may be replaced by it.
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
                State::Matching(seen.saturating_add(1))
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
    HEAD_AND_NUL.get(..seen).unwrap_or(HEAD_AND_NUL)
}

fn drain(out: &mut Vec<u8>, left: &mut Vec<u8>) -> State {
    out.append(left);
    State::Matching(0)
}

/// Whether a keyword was expanded by another system: white space in the middle.
/// `keyword` ends with its dollar.
fn is_foreign(keyword: &[u8]) -> bool {
    let text = keyword.split(|&byte| byte == 0).next().unwrap_or_default();
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

/// What follows `$Id`.
fn expansion(id: &oid) -> Vec<u8> {
    format!(": {id} $").into_bytes()
}

/// The second way, `ident_to_worktree`.
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

/// What to do behind a dollar.
enum Keyword<'a> {
    /// A keyword ends, and this follows.
    Replace(&'a [u8]),
    Keep,
    /// A keyword begins, and there are no more dollars.
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

/// On one line, and no space but right after the colon and at the end.
fn is_ours(value: &[u8]) -> bool {
    let inner = value.get(1..).unwrap_or_default();
    let space = inner
        .find_byte(b' ')
        .is_some_and(|at| at.saturating_add(1) < inner.len());
    !value.contains(&b'\n') && !space
}
