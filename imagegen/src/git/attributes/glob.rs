//! Wildcards as git reads them (`wildmatch.c` with `WM_PATHNAME`).
//!
//! Patterns come from strangers. git, and `gix-glob` after it, try every way
//! to divide a path among the `**/` of a pattern: 20 of them take a second for
//! one path, 40 would take days. It is enough to remember the last wildcard of
//! each kind, since whatever an earlier one could still swallow, the later one
//! can as well.

use super::byte_set::ByteSet;

/// One step of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Token {
    /// This byte.
    Byte(u8),
    /// `?`: any but a slash.
    Any,
    /// `[…]`: one of these; a slash never is.
    Set(ByteSet),
    /// `*`: any number of bytes but slashes.
    Star,
    /// `**` between slashes, and the slash behind it: directories, or none.
    Directories,
    /// `**` behind a slash, at the end: everything.
    Rest,
    /// What is malformed: nothing.
    Never,
}

/// A pattern, taken apart once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Glob(Box<[Token]>);

/// Where to go on when the rest does not match: the token behind the wildcard,
/// and how far the wildcard reaches into the text.
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
            let next = usize::saturating_add(token, 1);
            match (self.0.get(token), text.get(at)) {
                (None, None) | (Some(Token::Rest), _) => return true,
                (Some(Token::Star), _) => (star, token) = (Some((next, at)), next),
                (Some(Token::Directories), _) => {
                    (star, directories, token) = (None, Some((next, at)), next);
                }
                (Some(one), Some(&byte)) if one.matches(byte) => {
                    (token, at) = (next, at.saturating_add(1));
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

/// The wildcard swallows more, if it can.
fn longer(retry: Retry, more: impl Fn(usize) -> Option<usize>) -> Retry {
    let (token, at) = retry?;
    Some((token, more(at)?))
}

fn one_more(text: &[u8]) -> impl Fn(usize) -> Option<usize> {
    |at| (*text.get(at)? != b'/').then(|| at.saturating_add(1))
}

fn one_directory_more(text: &[u8]) -> impl Fn(usize) -> Option<usize> {
    |at| {
        let slash = text.get(at..)?.iter().position(|&byte| byte == b'/')?;
        Some(at.saturating_add(slash).saturating_add(1))
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

/// The token `first` begins, and what follows it.
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

/// Adds what a star and perhaps more stars mean, and says what follows them.
fn stars<'a>(tokens: &mut Vec<Token>, rest: &'a [u8]) -> &'a [u8] {
    let begins = matches!(
        tokens.last(),
        None | Some(Token::Byte(b'/') | Token::Directories)
    );
    let more = rest.iter().take_while(|&&byte| byte == b'*').count();
    let behind = rest.get(more..).unwrap_or_default();
    match behind {
        [] if begins && more > 0 => tokens.push(Token::Rest),
        [b'/', behind @ ..] if begins && more > 0 => {
            tokens.push(Token::Directories);
            return behind;
        }
        // With the slash escaped, git wants at least one directory.
        [b'\\', b'/', behind @ ..] if begins && more > 0 => {
            tokens.extend([Token::Star, Token::Byte(b'/'), Token::Directories]);
            return behind;
        }
        _ => tokens.push(Token::Star),
    }
    behind
}
