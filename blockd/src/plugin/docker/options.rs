//! The options of a volume (`docker volume create --opt KEY=VALUE`).

use std::{collections::BTreeMap, mem};

use anyhow::{Context, Result, bail};
use blockd_nbd::{token::Token, uri::NbdUri};

use super::name::VolumeName;
use crate::attach::{AttachOptions, UpperKind};

/// The options as they were given.
pub(super) type Given = BTreeMap<String, String>;

/// What a volume shows, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VolumeOptions {
    uri: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
    read_only: bool,
    upper: Option<UpperKind>,
}

impl VolumeOptions {
    /// Parses what was given.
    ///
    /// # Errors
    ///
    /// When an option is not known, or its value is none.
    pub(super) fn parse(given: &Given) -> Result<Self> {
        let mut options = Self::default();
        let mut is_block = false;
        for (key, value) in given {
            let wrong = || format!("the option {key}={value}");
            match key.as_str() {
                "uri" => options.uri = Some(value.clone()),
                "uid" => options.uid = Some(value.parse().with_context(wrong)?),
                "gid" => options.gid = Some(value.parse().with_context(wrong)?),
                "readonly" | "ro" => options.read_only = truth(value).with_context(wrong)?,
                "upper" => {
                    let upper = value.parse().map_err(anyhow::Error::msg);
                    options.upper = Some(upper.with_context(wrong)?);
                }
                "cow" => is_block = block(value).with_context(wrong)?,
                _ => bail!(
                    "a volume of blockd has no option {key}: those are uri, uid, gid, readonly, \
                     upper and cow"
                ),
            }
        }
        if options.read_only && (options.upper.is_some() || is_block) {
            bail!("a volume that is readonly keeps no changes: leave upper and cow out");
        }
        if is_block && options.upper.replace(UpperKind::Block).is_some() {
            bail!("with cow=block changes are kept as blocks: leave upper out");
        }
        Ok(options)
    }

    /// How to attach a volume of this name, where others are attached like `defaults`.
    ///
    /// # Errors
    ///
    /// When the URI or the token in it is none.
    pub(super) fn attach(
        &self,
        name: &VolumeName,
        defaults: &AttachOptions,
    ) -> Result<AttachOptions> {
        let mut attach = defaults.clone();
        let server = defaults.relay.uri.clone();
        let export = |export: &str| NbdUri {
            export: export.to_owned(),
            ..server.clone()
        };
        let uri = match &self.uri {
            None => export(name.as_str()),
            Some(uri) if uri.contains("://") => uri.parse()?,
            Some(uri) => export(uri),
        };
        // The token and the other servers are for the exports of this server.
        if uri.address != server.address {
            attach.relay.also = Vec::new();
            attach.relay.token = None;
        }
        let (plain, token) = Token::split(&uri.export)?;
        attach.relay.token = token.or(mem::take(&mut attach.relay.token));
        attach.relay.uri = NbdUri {
            export: plain.into_owned(),
            address: uri.address.clone(),
        };
        attach.uid = self.uid.unwrap_or(defaults.uid);
        attach.gid = self.gid.unwrap_or(defaults.gid);
        attach.read_only = self.read_only || defaults.read_only;
        if self.read_only {
            attach.upper = None;
        } else if self.upper.is_some() {
            attach.upper = self.upper;
        }
        Ok(attach)
    }
}

/// An option without a value is true, as Docker's own.
fn truth(value: &str) -> Result<bool> {
    match value {
        "" | "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => bail!("expected true or false"),
    }
}

fn block(value: &str) -> Result<bool> {
    match value {
        "block" => Ok(true),
        "overlay" => Ok(false),
        _ => bail!("expected overlay or block"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(options: &[(&str, &str)]) -> Given {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        options.iter().map(pair).collect()
    }

    #[test]
    fn options_are_parsed() {
        let options = given(&[("uid", "7"), ("readonly", ""), ("uri", "r@main")]);
        let parsed = VolumeOptions::parse(&options).unwrap();
        assert_eq!(
            (parsed.uid, parsed.gid, parsed.read_only),
            (Some(7), None, true)
        );
        let options = given(&[("cow", "block")]);
        let parsed = VolumeOptions::parse(&options).unwrap();
        assert_eq!(parsed.upper, Some(UpperKind::Block));
    }

    #[test]
    fn options_that_are_none_are_refused() {
        for (options, words) in [
            (&[("url", "x")][..], "no option url: those are uri"),
            (&[("uid", "me")], "uid=me: invalid digit"),
            (&[("readonly", "maybe")], "expected true or false"),
            (&[("upper", "disk")], "expected state, tmpfs"),
            (
                &[("upper", "tmpfs"), ("ro", "1")],
                "leave upper and cow out",
            ),
            (&[("upper", "tmpfs"), ("cow", "block")], "leave upper out"),
        ] {
            let error = VolumeOptions::parse(&given(options)).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(words), "{error}");
        }
    }
}
