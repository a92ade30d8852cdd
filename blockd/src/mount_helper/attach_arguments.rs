//! Mount options as arguments of `blockd attach`.

use thiserror::Error;

use super::option_list::MountOption;

/// What an option means to attach.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// A flag with the value of the option.
    Value(&'static str),
    /// A flag without a value.
    Flag(&'static str),
    /// Nothing: it is for mount(8) or systemd, or says what holds anyhow.
    Nothing,
}

use Meaning::{Flag, Nothing, Value};

const MEANINGS: [(&str, Meaning); 32] = [
    ("uid", Value("--uid")),
    ("gid", Value("--gid")),
    ("upper", Value("--upper")),
    ("cow", Value("--cow")),
    ("also", Value("--also")),
    ("timeout", Value("--timeout")),
    ("token-file", Value("--token-file")),
    ("state", Value("--state")),
    ("via", Value("--via")),
    ("connections", Value("--connections")),
    ("cache-size", Value("--cache-size")),
    ("ro", Flag("--read-only")),
    ("hydrate", Flag("--hydrate")),
    ("volatile", Flag("--volatile")),
    ("allow-clear", Flag("--allow-clear")),
    ("any-ext4", Flag("--any-ext4")),
    ("rw", Nothing),
    ("defaults", Nothing),
    ("auto", Nothing),
    ("noauto", Nothing),
    ("nofail", Nothing),
    ("_netdev", Nothing),
    ("comment", Nothing),
    ("nouser", Nothing),
    ("nosuid", Nothing),
    ("nodev", Nothing),
    ("noatime", Nothing),
    ("nodiratime", Nothing),
    ("exec", Nothing),
    ("async", Nothing),
    ("silent", Nothing),
    ("loud", Nothing),
];

/// An option that attach cannot do.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}; `mount.blockd --help` lists the options")]
pub struct Unknown(String);

/// The arguments of attach for these options. With `sloppy`, options that it does not know
/// are passed over.
///
/// # Errors
///
/// When an option is not known, lacks its value, or has one that it does not take.
pub fn attach_arguments(options: &[MountOption], sloppy: bool) -> Result<Vec<String>, Unknown> {
    let mut arguments = Vec::new();
    for MountOption { name, value } in options {
        let known = MEANINGS.iter().find(|(known, _)| known == name);
        match (known.map(|(_, meaning)| meaning), value) {
            (Some(Value(flag)), Some(value)) => arguments.push(format!("{flag}={value}")),
            (Some(Value(_)), None) => {
                return Err(Unknown(format!("the mount option {name} needs a value")));
            }
            (Some(Flag(flag)), None) => arguments.push((*flag).to_owned()),
            (Some(Flag(_)), Some(_)) => {
                return Err(Unknown(format!("the mount option {name} takes no value")));
            }
            (Some(Nothing), _) => {}
            (None, _) if sloppy || name.starts_with("x-") || name.starts_with("X-") => {}
            (None, _) => return Err(Unknown(format!("unknown mount option {name}"))),
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount_helper::parse;

    fn of(text: &str, sloppy: bool) -> Result<Vec<String>, String> {
        let options = parse(text).map_err(|error| error.to_string())?;
        attach_arguments(&options, sloppy).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_those_of_attach_or_for_others() {
        let text = "rw,_netdev,nofail,x-systemd.idle-timeout=10min,uid=7,ro,also=nbd://a/";
        let expected = ["--uid=7", "--read-only", "--also=nbd://a/"].map(str::to_owned);
        assert_eq!(of(text, false), Ok(expected.to_vec()));
    }

    #[test]
    fn what_attach_cannot_do_is_refused() {
        for (text, words) in [
            ("noexec", "unknown mount option noexec"),
            ("remount", "unknown mount option remount"),
            ("uid", "uid needs a value"),
            ("ro=1", "ro takes no value"),
        ] {
            let error = of(text, false).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(of("noexec,uid=7", true), Ok(vec!["--uid=7".to_owned()]));
    }
}
