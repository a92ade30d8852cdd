//! The keys that can be blocked.

use std::{fmt, str::FromStr};

/// A key that is blocked unless it is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Ends codex when nothing is typed, and interrupts it otherwise.
    CtrlC,
    /// Ends codex when nothing is typed.
    CtrlD,
    /// Suspends: codex leaves the terminal, and what comes then is lost.
    CtrlZ,
    /// Kills by SIGQUIT where the terminal is not raw.
    CtrlBackslash,
}

impl Key {
    /// Every key that can be blocked.
    pub const ALL: [Self; 4] = [Self::CtrlC, Self::CtrlD, Self::CtrlZ, Self::CtrlBackslash];

    /// The character that is typed together with Ctrl.
    pub(super) const fn letter(self) -> char {
        match self {
            Self::CtrlC => 'c',
            Self::CtrlD => 'd',
            Self::CtrlZ => 'z',
            Self::CtrlBackslash => '\\',
        }
    }

    /// The key whose control character this is.
    pub(super) fn of_byte(byte: u8) -> Option<Self> {
        match byte {
            0x03 => Some(Self::CtrlC),
            0x04 => Some(Self::CtrlD),
            0x1a => Some(Self::CtrlZ),
            0x1c => Some(Self::CtrlBackslash),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Ctrl+{}", self.letter().to_ascii_uppercase())
    }
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let found = Self::ALL.into_iter().find(|key| {
            let letter = lower.strip_prefix("ctrl-").or(lower.strip_prefix("ctrl+"));
            letter == Some(key.letter().encode_utf8(&mut [0; 4]))
        });
        found.ok_or_else(|| "expected ctrl-c, ctrl-d, ctrl-z or ctrl-\\".to_owned())
    }
}
