//! The list of options behind `-o` (mount(8), fstab(5)).

use thiserror::Error;

/// One option: `NAME` or `NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    /// What stands before the equals sign.
    pub name: String,
    /// What stands behind it, without quotes.
    pub value: Option<String>,
}

/// A quote without an end.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the mount options {0:?} have a quote without an end")]
pub struct MalformedOptions(String);

/// Parses a list of options. Within double quotes a comma is part of a value.
///
/// # Errors
///
/// When a quote has no end.
pub fn parse(text: &str) -> Result<Vec<MountOption>, MalformedOptions> {
    let mut options = vec![String::new()];
    let mut is_quoted = false;
    for character in text.chars() {
        match (character, options.last_mut()) {
            ('"', _) => is_quoted = !is_quoted,
            (',', _) if !is_quoted => options.push(String::new()),
            (_, Some(option)) => option.push(character),
            (_, None) => {}
        }
    }
    if is_quoted {
        return Err(MalformedOptions(text.to_owned()));
    }
    let options = options.iter().filter(|option| !option.is_empty());
    Ok(options.map(|option| MountOption::of(option)).collect())
}

impl MountOption {
    fn of(text: &str) -> Self {
        match text.split_once('=') {
            Some((name, value)) => Self {
                name: name.to_owned(),
                value: Some(value.to_owned()),
            },
            None => Self {
                name: text.to_owned(),
                value: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_separate_but_in_quotes() {
        let option = |name: &str, value: Option<&str>| MountOption {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        assert_eq!(
            parse("rw,,also=\"nbd://a/x,y=z\",uid=7,").unwrap(),
            [
                option("rw", None),
                option("also", Some("nbd://a/x,y=z")),
                option("uid", Some("7")),
            ]
        );
        assert_eq!(parse("").unwrap(), []);
        let error = parse("a=\"b").unwrap_err().to_string();
        assert!(error.contains("a quote without an end"), "{error}");
    }
}
