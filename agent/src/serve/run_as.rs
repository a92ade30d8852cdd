//! The user that codex runs as, where that is not the server's own.

use std::str::FromStr;

use thiserror::Error;

/// A user and a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// A text is no user and group.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected UID:GID, two numbers, and not those of root")]
pub struct RunAsError;

impl FromStr for RunAs {
    type Err = RunAsError;

    fn from_str(text: &str) -> Result<Self, RunAsError> {
        let (uid, gid) = text.split_once(':').ok_or(RunAsError)?;
        let number = |text: &str| text.parse().ok().filter(|number| *number != 0);
        let (uid, gid) = number(uid).zip(number(gid)).ok_or(RunAsError)?;
        Ok(Self { uid, gid })
    }
}

impl RunAs {
    /// What to write before a command so that it runs as this user, without any
    /// privilege of ours, and gains none by a program with the set-user-ID bit.
    pub(super) fn launcher(self) -> Vec<String> {
        let options = [
            format!("--reuid={}", self.uid),
            format!("--regid={}", self.gid),
            "--clear-groups".to_owned(),
            "--no-new-privs".to_owned(),
            "--inh-caps=-all".to_owned(),
            "--ambient-caps=-all".to_owned(),
            "--".to_owned(),
        ];
        [vec!["setpriv".to_owned()], options.to_vec()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::{RunAs, RunAsError};

    #[test]
    fn a_user_is_two_numbers_and_not_root() {
        let user = RunAs { uid: 1, gid: 2 };
        assert_eq!("1:2".parse(), Ok(user));
        for text in ["", "1", "1:", "0:1", "1:0", "a:b", "-1:1", "1:2:3"] {
            assert_eq!(text.parse::<RunAs>(), Err(RunAsError), "{text}");
        }
    }
}
