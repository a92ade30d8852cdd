//! A state machine over bytes: a key may come in any number of pieces, and in
//! any of its encodings (the byte itself, CSI u of the kitty protocol, xterm's
//! modifyOtherKeys).
//!
//! ```text
//! ground ─ESC─► escape ─[─► CSI ─final byte─► ground
//! ```

use super::{key::Key, sequence::control_key};

const ESC: u8 = 0x1b;

/// A longer sequence is no key, and is dropped to its end. In bytes.
pub(super) const MAX_SEQUENCE: usize = 64;

/// The state of the parser; names as in ECMA-48 parsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Ground,
    Escape,
    /// Within a CSI sequence.
    Csi {
        /// Whether it is too long to be a key.
        overlong: bool,
    },
}

/// What a filter makes of a piece of input.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// What may reach the program.
    pub bytes: Vec<u8>,
    /// What was dropped, in order.
    pub dropped: Vec<Key>,
}

/// Drops blocked keys from a person's input.
#[derive(Debug)]
pub struct KeyFilter {
    blocked: Vec<Key>,
    at: At,
    /// An escape sequence that has not ended yet.
    pub(super) held: Vec<u8>,
    /// How many bytes of `held` have passed already: an Escape that seemed to be
    /// alone. The program may not have read it when the rest of a sequence follows.
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

    /// Filters a piece of input; what was held back before comes first.
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

    /// Lets a lone Escape through; a sequence that has begun stays held.
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
            // A sequence that is cut off by the next means no key.
            (At::Csi { .. }, ESC) => {
                self.restart(At::Ground);
                self.hold(byte, At::Escape);
            }
            (At::Csi { overlong }, 0x40..=0x7e) => self.end_csi(byte, overlong, passed),
            (At::Csi { .. }, _) => {
                let overlong = self.held.len() >= MAX_SEQUENCE;
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

    /// Takes what is held back and has not passed yet.
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
