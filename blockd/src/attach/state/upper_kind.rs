//! Where the changes of an attachment are kept.

use std::{fmt, mem, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::units::parse_size;

/// Where the changes of an attachment are kept; `state`, `tmpfs`, `tmpfs:SIZE`
/// or `block` in the state directory and on the command line; in the state directory
/// `volatile` too, which a blockd of format 2 that does not know it refuses: it must
/// not mount what a crash may have torn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum UpperKind {
    /// In an upper layer of overlayfs in the state directory: changes survive a
    /// reboot.
    #[default]
    State,
    /// In the same place, mounted so that nothing is synced: until it is detached,
    /// changes are lost or torn when the machine goes down.
    Volatile,
    /// In an upper layer on a tmpfs: changes are lost when the machine reboots.
    Tmpfs {
        /// The most bytes that it holds; `None`: half of the memory, the
        /// default of tmpfs(5).
        size: Option<u64>,
    },
    /// As changed blocks of the disk, in the state directory. There is no
    /// overlay: the ext4 itself is mounted for writing.
    Block,
}

impl UpperKind {
    /// Whether both keep changes in the same place, whatever its size limit.
    pub(crate) fn is_same_place(self, other: Self) -> bool {
        let place = |kind| match kind {
            Self::Volatile => Self::State,
            kind => kind,
        };
        mem::discriminant(&place(self)) == mem::discriminant(&place(other))
    }
}

impl FromStr for UpperKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = match text.split_once(':') {
            None if text == "state" => return Ok(Self::State),
            None if text == "block" => return Ok(Self::Block),
            None if text == "tmpfs" => None,
            None if text == "volatile" => return Err("give --volatile instead".to_owned()),
            Some(("tmpfs", size)) => Some(parse_size(size).ok_or("expected a size like 512M")?),
            _ => return Err("expected state, tmpfs or tmpfs:SIZE".to_owned()),
        };
        Ok(Self::Tmpfs { size })
    }
}

impl TryFrom<String> for UpperKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "volatile" {
            return Ok(Self::Volatile);
        }
        text.parse()
    }
}

impl From<UpperKind> for String {
    fn from(kind: UpperKind) -> Self {
        kind.to_string()
    }
}

impl fmt::Display for UpperKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => write!(f, "state"),
            Self::Volatile => write!(f, "volatile"),
            Self::Block => write!(f, "block"),
            Self::Tmpfs { size: None } => write!(f, "tmpfs"),
            Self::Tmpfs { size: Some(size) } => write!(f, "tmpfs:{size}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volatile_layer_is_in_the_same_place() {
        assert!(UpperKind::Volatile.is_same_place(UpperKind::State));
        assert!(!UpperKind::Volatile.is_same_place(UpperKind::Block));
    }

    #[test]
    fn a_kind_is_parsed_as_it_is_printed() {
        for text in ["state", "block", "tmpfs", "tmpfs:1024"] {
            assert_eq!(text.parse::<UpperKind>().unwrap().to_string(), text);
        }
        let size = Some(2 << 30);
        assert_eq!("tmpfs:2G".parse(), Ok(UpperKind::Tmpfs { size }));
        assert_eq!("volatile".to_owned().try_into(), Ok(UpperKind::Volatile));
        assert!("volatile".parse::<UpperKind>().is_err());
        for text in ["", "disk", "tmpfs:", "tmpfs:x", "state:1"] {
            assert!(text.parse::<UpperKind>().is_err(), "{text}");
        }
    }
}
