//! Parsing the lines of a `.gitattributes`.
//!
//! `gix-attributes` parses as git does for files of the work tree. At checkout
//! git parses the blob instead, where a byte order mark is not skipped, the
//! first NUL ends the file, and overlong lines are ignored.

use std::borrow::Cow;

use gix::bstr::ByteSlice;

/// The length of a line in bytes from which on git ignores it
/// (`ATTR_MAX_LINE_LENGTH`).
const MAX_LINE: usize = 2048;
const BLANKS: &[u8] = b" \t\r\n";
const MACRO: &[u8] = b"[attr]";

/// The state of an attribute in a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// `attr`
    Set,
    /// `-attr`
    Unset,
    /// `!attr`
    Unspecified,
    /// `attr=value`
    Value(Box<[u8]>),
}

/// What a line applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    /// The paths that match a pattern.
    Pattern(Cow<'a, [u8]>),
    /// The macro of this name.
    Macro(Vec<u8>),
}

/// A line that git does not ignore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) subject: Subject<'a>,
    pub(super) states: Vec<(&'a [u8], State)>,
}

/// The lines of a file that git does not ignore.
pub(super) fn parse(file: &[u8]) -> impl Iterator<Item = Line<'_>> {
    // The first NUL ends the file.
    let text = file.split_once_str(b"\0").map_or(file, |(text, _)| text);
    text.split(|&byte| byte == b'\n').filter_map(parse_line)
}

fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    let text = skip_blanks(line);
    if text.is_empty() || text.starts_with(b"#") || line.len() >= MAX_LINE {
        return None;
    }
    let (name, rest) = unquote(text).map_or_else(
        || {
            let (name, rest) = split_word(text);
            (Cow::Borrowed(name), rest)
        },
        |(name, rest)| (Cow::Owned(name), rest),
    );
    let subject = match name.strip_prefix(MACRO) {
        Some(name) if !name.is_empty() => Subject::Macro(macro_name(name)?),
        _ => Subject::Pattern(name),
    };
    Some(Line {
        subject,
        states: parse_states(rest)?,
    })
}

fn macro_name(text: &[u8]) -> Option<Vec<u8>> {
    let name = split_word(skip_blanks(text)).0;
    is_valid_name(name).then(|| name.to_vec())
}

/// `None` if a name is invalid: git then ignores the whole line.
fn parse_states(text: &[u8]) -> Option<Vec<(&[u8], State)>> {
    let words = text
        .split(|byte| BLANKS.contains(byte))
        .filter(|word| !word.is_empty());
    words.map(parse_state).collect()
}

fn parse_state(word: &[u8]) -> Option<(&[u8], State)> {
    let (name, value) = match word.split_once_str("=") {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let (name, state) = match (name, value) {
        ([b'-', name @ ..], _) => (name, State::Unset),
        ([b'!', name @ ..], _) => (name, State::Unspecified),
        (name, None) => (name, State::Set),
        (name, Some(value)) => (name, State::Value(value.into())),
    };
    is_valid_name(name).then_some((name, state))
}

fn is_valid_name(name: &[u8]) -> bool {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    !name.is_empty()
        && !name.starts_with(b"-")
        && !name.starts_with(b"builtin_")
        && name.iter().all(valid)
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    text.trim_start_with(|char| matches!(char, ' ' | '\t' | '\r' | '\n'))
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.find_byteset(BLANKS).unwrap_or(text.len());
    text.split_at(end)
}

/// The text in a C-style quoted string, and what follows the string.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut plain = Vec::new();
    loop {
        let end = rest.find_byteset(b"\"\\")?;
        let (before, special) = rest.split_at_checked(end)?;
        plain.extend_from_slice(before);
        let (byte, after) = match special {
            [b'"', after @ ..] => return Some((plain, after)),
            [b'\\', after @ ..] => unescape(after)?,
            _ => return None,
        };
        plain.push(byte);
        rest = after;
    }
}

fn unescape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = text.split_first()?;
    let byte = match first {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' | b'"' => first,
        b'0'..=b'3' => {
            let (digits, rest) = text.split_at_checked(3)?;
            return Some((u8::from_str_radix(digits.to_str().ok()?, 8).ok()?, rest));
        }
        _ => return None,
    };
    Some((byte, rest))
}
