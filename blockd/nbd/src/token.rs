//! Access tokens in export names.
//!
//! NBD has no passwords: the name of the export is all that a client says. So a
//! token is an option of the name, `NAME:token=TOKEN`, which every client can
//! send. It is taken out of the name before anything else looks at it, so that no
//! log and no error has it.

use std::{borrow::Cow, fmt, str::FromStr};

use thiserror::Error;

/// The option in a name.
const OPTION: &str = ":token=";
/// The last option of a name, whose value may have any byte.
const LAST: &str = ":path=";
/// The longest token, in bytes: half of what a name may have.
const MAX_LENGTH: usize = 2048;

/// A token, which is a secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

/// Why a text is no token, or a name has none that can be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// It is empty, too long, or has another character.
    #[error("a token has 1 to {MAX_LENGTH} letters, digits, - _ and .")]
    Malformed,
    /// The name has the option twice.
    #[error("the name has two tokens: leave one out")]
    Twice,
}

impl Token {
    /// The token itself, to be sent or verified.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Splits a name into the name without its token, and the token.
    ///
    /// # Errors
    ///
    /// The token is malformed, or there are two.
    pub fn split(name: &str) -> Result<(Cow<'_, str>, Option<Self>), TokenError> {
        let (front, path) = name.split_at(name.find(LAST).unwrap_or(name.len()));
        let Some((before, behind)) = front.split_once(OPTION) else {
            return Ok((name.into(), None));
        };
        let (token, after) = behind.split_at(behind.find(':').unwrap_or(behind.len()));
        if after.contains(OPTION) {
            return Err(TokenError::Twice);
        }
        Ok((
            format!("{before}{after}{path}").into(),
            Some(token.parse()?),
        ))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(plain) {
            return Err(TokenError::Malformed);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

/// An export as a client asks for it: by a name, which errors show, and a token,
/// which only the server sees.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The name without a token.
    pub name: &'a str,
    /// What goes to the server with it.
    pub token: Option<&'a Token>,
}

impl Asked<'_> {
    /// The name as it is sent.
    pub(crate) fn sent(&self) -> Cow<'_, str> {
        let Some(token) = self.token else {
            return self.name.into();
        };
        // Behind the revision, which has no colon.
        let (front, options) = self
            .name
            .split_at(self.name.find(':').unwrap_or(self.name.len()));
        format!("{front}{OPTION}{}{options}", token.secret()).into()
    }
}

impl<'a> From<&'a str> for Asked<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, token: None }
    }
}

impl<'a> From<&'a String> for Asked<'a> {
    fn from(name: &'a String) -> Self {
        name.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_with_a_token_is_split_into_both() {
        let token: Token = "eyJ.a-b_c.9".parse().unwrap();
        for name in [
            "",
            "a/b",
            "a/b@main",
            ":uid=1",
            "a@b:uid=1:gid=2",
            "a@b:path=x:token=y",
            "a:path=",
        ] {
            let asked = Asked {
                name,
                token: Some(&token),
            };
            let sent = asked.sent().into_owned();
            assert!(sent.contains("token=eyJ.a-b_c.9"), "{sent}");
            let (plain, found) = Token::split(&sent).unwrap();
            assert_eq!((&*plain, found.as_ref()), (name, Some(&token)));
            assert_eq!(Token::split(name).unwrap(), (name.into(), None));
        }
    }

    #[test]
    fn a_token_stands_anywhere_before_the_path_and_only_once() {
        let (name, token) = Token::split("r@main:uid=1:token=t:gid=2:path=a:token=b").unwrap();
        assert_eq!(name, "r@main:uid=1:gid=2:path=a:token=b");
        assert_eq!(token.unwrap().secret(), "t");
        assert_eq!(Token::split("r:token=a:token=b"), Err(TokenError::Twice));
        for bad in [
            "r:token=",
            "r:token=a b",
            "r:token=\u{fc}",
            "r:token=\u{1b}[2J",
        ] {
            assert_eq!(Token::split(bad), Err(TokenError::Malformed), "{bad:?}");
        }
        assert!("a".repeat(MAX_LENGTH + 1).parse::<Token>().is_err());
    }

    #[test]
    fn a_token_is_not_shown() {
        let token: Token = "secret".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token");
        let asked = Asked {
            name: "a",
            token: Some(&token),
        };
        assert!(!format!("{asked:?}").contains("secret"));
    }

    proptest::proptest! {
        #[test]
        fn no_name_does_harm_and_none_keeps_its_token(name in "[a@:=/tokenph.\u{e9}]{0,40}") {
            if let Ok((plain, _)) = Token::split(&name) {
                let front = plain.split(LAST).next().expect("a split text has a part");
                assert!(!front.contains(OPTION), "{plain}");
            }
        }
    }
}
