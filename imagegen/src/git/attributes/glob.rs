//! Matching wildcards as git does (`wildmatch.c` with `WM_PATHNAME`).
//!
//! Patterns are untrusted. git and `gix-glob` try every way to divide a path
//! among the `**/` of a pattern, which takes exponential time: a second for 20
//! of them, days for 40. It suffices to backtrack to the last wildcard of each
//! kind, since that can match whatever an earlier one could match in addition.

use super::byte_set::ByteSet;

/// A token of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Token {
    /// This byte.
    Byte(u8),
    /// `?`: any but a slash.
    Any,
    /// `[…]`: one of a set of bytes, but never a slash.
    Set(ByteSet),
    /// `*`: any number of bytes other than slashes.
    Star,
    /// `**/` at the start or after a slash: any number of directories.
    Directories,
    /// `**` at the end, at the start or after a slash: everything.
    Rest,
    /// A malformed token, which matches nothing.
    Never,
}

/// A parsed pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Glob(Box<[Token]>);

/// Where to continue when the rest does not match: the token after a wildcard,
/// and the end of what the wildcard matches in the text.
type Retry = Option<(usize, usize)>;

impl Glob {
    pub(super) fn parse(pattern: &[u8]) -> Self {
        let (mut tokens, mut rest) = (Vec::new(), pattern);
        while let Some((&first, behind)) = rest.split_first() {
            rest = if first == b'*' {
                stars(&mut tokens, behind)
            } else {
                let (token, rest) = next_token(first, behind);
                tokens.push(token);
                rest
            };
        }
        Self(tokens.into())
    }

    /// Whether all of `text` matches.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        let (mut star, mut directories): (Retry, Retry) = (None, None);
        loop {
            let next = token + 1;
            match (self.0.get(token), text.get(at)) {
                (None, None) | (Some(Token::Rest), _) => return true,
                (Some(Token::Star), _) => (star, token) = (Some((next, at)), next),
                (Some(Token::Directories), _) => {
                    (star, directories, token) = (None, Some((next, at)), next);
                }
                (Some(one), Some(&byte)) if one.matches(byte) => {
                    (token, at) = (next, at + 1);
                }
                _ => {
                    let longer = longer(star, one_more(text));
                    if longer.is_none() {
                        directories = self::longer(directories, one_directory_more(text));
                    }
                    star = longer;
                    let Some(retry) = star.or(directories) else {
                        return false;
                    };
                    (token, at) = retry;
                }
            }
        }
    }
}

/// Lets a wildcard match more of the text, if it can.
fn longer(retry: Retry, more: impl Fn(usize) -> Option<usize>) -> Retry {
    let (token, at) = retry?;
    Some((token, more(at)?))
}

fn one_more(text: &[u8]) -> impl Fn(usize) -> Option<usize> {
    |at| (*text.get(at)? != b'/').then_some(at + 1)
}

fn one_directory_more(text: &[u8]) -> impl Fn(usize) -> Option<usize> {
    |at| {
        let slash = text.get(at..)?.iter().position(|&byte| byte == b'/')?;
        Some(at + slash + 1)
    }
}

impl Token {
    fn matches(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::Any => byte != b'/',
            Self::Set(set) => byte != b'/' && set.has(byte),
            Self::Star | Self::Directories | Self::Rest | Self::Never => false,
        }
    }
}

/// The token that starts with `first`, and the rest of the pattern.
fn next_token(first: u8, rest: &[u8]) -> (Token, &[u8]) {
    match (first, rest) {
        (b'\\', [byte, rest @ ..]) => (Token::Byte(*byte), rest),
        (b'\\', []) => (Token::Never, rest),
        (b'?', _) => (Token::Any, rest),
        (b'[', _) => match ByteSet::parse(rest) {
            Some((set, rest)) => (Token::Set(set), rest),
            None => (Token::Never, b""),
        },
        _ => (Token::Byte(first), rest),
    }
}

/// Adds the tokens of one or more stars; returns the rest of the pattern.
fn stars<'a>(tokens: &mut Vec<Token>, rest: &'a [u8]) -> &'a [u8] {
    let begins = matches!(
        tokens.last(),
        None | Some(Token::Byte(b'/') | Token::Directories)
    );
    let more = rest.iter().take_while(|&&byte| byte == b'*').count();
    let (_, behind) = rest.split_at(more);
    match behind {
        [] if begins && more > 0 => tokens.push(Token::Rest),
        [b'/', behind @ ..] if begins && more > 0 => {
            tokens.push(Token::Directories);
            return behind;
        }
        // With an escaped slash, git requires at least one directory.
        [b'\\', b'/', behind @ ..] if begins && more > 0 => {
            tokens.extend([Token::Star, Token::Byte(b'/'), Token::Directories]);
            return behind;
        }
        _ => tokens.push(Token::Star),
    }
    behind
}
