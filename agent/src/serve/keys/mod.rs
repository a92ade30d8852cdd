//! Which keys of a person reach the program.
//!
//! A state machine over bytes: a key may come in any number of pieces, and in
//! any of its encodings (the byte itself, CSI u of the kitty protocol, xterm's
//! modifyOtherKeys).
//!
//! ```text
//! ground ─ESC─► escape ─[─► CSI ─final byte─► ground
//! ```

mod sequence;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

use self::sequence::control_key;

const ESC: u8 = 0x1b;

/// A longer sequence is no key: it is dropped to its end.
const LONGEST: usize = 64;

/// A key that is kept from the program.
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

    const fn letter(self) -> char {
        match self {
            Self::CtrlC => 'c',
            Self::CtrlD => 'd',
            Self::CtrlZ => 'z',
            Self::CtrlBackslash => '\\',
        }
    }

    /// The key whose control character this is.
    fn of_byte(byte: u8) -> Option<Self> {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Ground,
    Escape,
    /// Within a CSI sequence; whether it is too long to be a key.
    Csi {
        overlong: bool,
    },
}

/// What is left of a piece of input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// What may reach the program.
    pub bytes: Vec<u8>,
    /// What was dropped, in order.
    pub dropped: Vec<Key>,
}

/// Keeps blocked keys back.
#[derive(Debug)]
pub struct KeyFilter {
    blocked: Vec<Key>,
    at: At,
    /// An escape sequence that has not ended yet.
    held: Vec<u8>,
    /// How many of those have passed: an Escape that seemed to be alone. The
    /// program may not have read it when the rest of a sequence follows.
    sent: usize,
}

impl KeyFilter {
    /// Blocks all keys but these.
    pub fn new(allowed: &[Key]) -> Self {
        let blocked = Key::ALL.into_iter();
        Self {
            blocked: blocked.filter(|key| !allowed.contains(key)).collect(),
            at: At::Ground,
            held: Vec::new(),
            sent: 0,
        }
    }

    /// What of this piece, and of what was held back, may reach the program.
    pub fn feed(&mut self, piece: &[u8]) -> Passed {
        let mut passed = Passed::default();
        for byte in piece {
            self.step(*byte, &mut passed);
        }
        passed
    }

    /// Whether an escape sequence has begun: if nothing follows soon, it was
    /// the Escape key, and [`flush`](Self::flush) lets it through.
    pub fn is_holding(&self) -> bool {
        self.held.len() > self.sent
    }

    /// Lets a lone Escape through; a sequence that has really begun waits on.
    pub fn flush(&mut self) -> Vec<u8> {
        if self.at != At::Escape || !self.is_holding() {
            return Vec::new();
        }
        self.sent = self.held.len();
        self.held.clone()
    }

    fn step(&mut self, byte: u8, passed: &mut Passed) {
        if let Some(key) = Key::of_byte(byte).filter(|key| self.blocked.contains(key)) {
            // With Alt it is ESC and the byte: both go.
            if self.at == At::Escape {
                self.restart(At::Ground);
            }
            passed.dropped.push(key);
            return;
        }
        match (self.at, byte) {
            (At::Ground, ESC) => self.hold(byte, At::Escape),
            (At::Ground, _) => passed.bytes.push(byte),
            (At::Escape, b'[') => self.hold(byte, At::Csi { overlong: false }),
            // Alt+Escape, or Escape and another sequence.
            (At::Escape, ESC) => {
                passed.bytes.extend(self.release());
                self.hold(byte, At::Escape);
            }
            (At::Escape, _) => {
                passed.bytes.extend(self.release());
                passed.bytes.push(byte);
            }
            // A sequence that is cut off by the next is none.
            (At::Csi { .. }, ESC) => {
                self.restart(At::Ground);
                self.hold(byte, At::Escape);
            }
            (At::Csi { overlong }, 0x40..=0x7e) => self.end_csi(byte, overlong, passed),
            (At::Csi { .. }, _) => {
                let overlong = self.held.len() >= LONGEST;
                if overlong {
                    self.at = At::Csi { overlong };
                } else {
                    self.held.push(byte);
                }
            }
        }
    }

    fn end_csi(&mut self, byte: u8, overlong: bool, passed: &mut Passed) {
        self.held.push(byte);
        match control_key(&self.held).filter(|key| self.blocked.contains(key)) {
            _ if overlong => {}
            Some(key) => passed.dropped.push(key),
            None => return passed.bytes.extend(self.release()),
        }
        self.restart(At::Ground);
    }

    /// What was held back and has not passed yet.
    fn release(&mut self) -> Vec<u8> {
        let bytes = self.held.split_off(self.sent);
        self.restart(At::Ground);
        bytes
    }

    fn hold(&mut self, byte: u8, at: At) {
        self.held.push(byte);
        self.at = at;
    }

    fn restart(&mut self, at: At) {
        self.held.clear();
        self.sent = 0;
        self.at = at;
    }
}
