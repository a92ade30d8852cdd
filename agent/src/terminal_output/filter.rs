//! A state machine over bytes: a sequence may come in any number of pieces.
//!
//! ```text
//! ground ─ESC─► escape ─[─► CSI ─final byte─► ground
//!                  ├──]──► OSC ─BEL or ST───► ground
//!                  └P X ^ _► string ─ST─────► ground     dropped: DCS, SOS, PM, APC
//! ```

use super::{
    functions::{self, CONTROLS, is_escape_allowed},
    link,
    policy::Policy,
    sequence::Sequence,
};

const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;
const DEL: u8 = 0x7f;

/// Longer sequences do not pass. In bytes.
pub(super) const MAX_SEQUENCE: usize = 256;
/// The same of commands: a URL may be long.
pub(super) const MAX_COMMAND: usize = 4096;

/// The modes of a terminal that has just been switched on: a soft reset, and the
/// same in pieces for terminals that know none.
const DEFAULTS: &[u8] = b"\x1b[!p\x1b[4l\x1b[?5;69l\x1b[?7;25h\x1b[0m\x1b(B\x0f";
/// RIS where it may not erase what has scrolled off.
const RESET: &[&[u8]] = &[b"\x1b[?1049l", DEFAULTS, b"\x1b[?6l\x1b[r\x1b[H\x1b[2J"];

/// The state of the parser; names as in ECMA-48 parsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Ground,
    Escape,
    /// Within a control sequence.
    Csi,
    /// Within an operating system command.
    Osc,
    /// There, after an ESC.
    OscEscape,
    /// Within a string that does not pass.
    String,
}

/// Takes out of a stream of output what a [`Policy`] does not let pass.
#[derive(Debug)]
pub struct Filter {
    policy: Policy,
    at: At,
    /// The sequence that has not ended yet; cut at its greatest length, so that
    /// it does not pass.
    pub(super) held: Vec<u8>,
    /// The character that is not complete yet.
    pub(super) character: Vec<u8>,
    passed: Vec<u8>,
    /// Whether the terminal is on its alternate screen.
    is_alternate: bool,
    /// Whether its cursor has another shape.
    is_shaped: bool,
}

impl Filter {
    /// A filter for a new stream.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            at: At::Ground,
            held: Vec::new(),
            character: Vec::new(),
            passed: Vec::new(),
            is_alternate: false,
            is_shaped: false,
        }
    }

    /// Returns what passes of the next bytes. Only a sequence or a character that
    /// is not complete is held back.
    pub fn push(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        while let [first, rest @ ..] = bytes {
            let text = self.text_at(bytes);
            if text.is_empty() {
                self.step(*first);
                bytes = rest;
            } else {
                self.passed.extend_from_slice(text);
                bytes = &bytes[text.len()..];
            }
        }
        std::mem::take(&mut self.passed)
    }

    /// The bytes that leave a person's terminal usable after the last: it may be on
    /// the alternate screen, without a cursor, or within a link. The cursor stays
    /// where it is.
    pub fn end(self) -> Vec<u8> {
        let alternate: &[u8] = if self.is_alternate {
            b"\x1b[?1049l"
        } else {
            b""
        };
        let shape: &[u8] = if self.is_shaped { b"\x1b[0 q" } else { b"" };
        [link::END, alternate, b"\x1b7\x1b[r\x1b8", DEFAULTS, shape].concat()
    }

    /// The visible ASCII that these bytes begin with, if they are text.
    fn text_at<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if self.at != At::Ground || !self.character.is_empty() {
            return b"";
        }
        let end = bytes.iter().position(|byte| !(b' '..DEL).contains(byte));
        &bytes[..end.unwrap_or(bytes.len())]
    }

    fn step(&mut self, byte: u8) {
        match (self.at, byte) {
            (At::Ground, _) => self.character(byte),
            (At::Osc, ESC) => self.at = At::OscEscape,
            (At::OscEscape, b'\\') => self.end_command(&[ESC, byte]),
            (_, CAN | SUB) => self.restart(At::Ground),
            (At::OscEscape, _) => {
                self.restart(At::Escape);
                self.step(byte);
            }
            (At::String, ESC) => self.restart(At::Escape),
            (At::String, _) => {}
            (At::Osc, BEL) => self.end_command(&[byte]),
            (At::Osc, _) => self.hold(byte, MAX_COMMAND),
            (At::Escape | At::Csi, _) => self.within(byte),
        }
    }

    /// A byte within an escape sequence or a control sequence.
    fn within(&mut self, byte: u8) {
        match (self.at, byte) {
            (_, ESC) => self.restart(At::Escape),
            (_, 0..0x20) => self.control(byte),
            (_, DEL) => {}
            // No sequence has such bytes: this is text again.
            (_, 0x80..) => {
                self.restart(At::Ground);
                self.character(byte);
            }
            (At::Escape, _) if self.held.len() == 1 && self.introduce(byte) => {}
            (At::Escape, 0x30..) => self.end_escape(byte),
            (At::Csi, 0x40..) => self.end_control_sequence(byte),
            _ => self.hold(byte, MAX_SEQUENCE),
        }
    }

    /// Whether this byte after ESC begins something longer.
    fn introduce(&mut self, byte: u8) -> bool {
        let at = match byte {
            b'[' => At::Csi,
            b']' => At::Osc,
            b'P' | b'X' | b'^' | b'_' => At::String,
            _ => return false,
        };
        self.at = at;
        self.held.push(byte);
        true
    }

    fn end_escape(&mut self, byte: u8) {
        self.held.push(byte);
        if self.held == b"\x1bc" && !self.policy.history {
            self.passed.extend(RESET.concat());
            self.is_alternate = false;
        } else if is_escape_allowed(&self.held[1..], self.policy) {
            self.passed.extend_from_slice(&self.held);
        }
        self.restart(At::Ground);
    }

    fn end_control_sequence(&mut self, byte: u8) {
        self.held.push(byte);
        let is_whole = self.held.len() <= MAX_SEQUENCE;
        let sequence = Sequence::parse(&self.held).filter(|_| is_whole);
        if let Some(bytes) = sequence.and_then(|found| functions::allowed(&found, self.policy)) {
            self.follow(&bytes);
            self.passed.extend(bytes);
        }
        self.restart(At::Ground);
    }

    /// Remembers what a sequence that passes leaves of the terminal.
    fn follow(&mut self, sequence: &[u8]) {
        let named = [&b"47"[..], b"1047", b"1049"];
        let Some(Sequence { parameters, .. }) = Sequence::parse(sequence) else {
            return;
        };
        if sequence.starts_with(b"\x1b[?")
            && parameters
                .split(|byte| *byte == b';')
                .any(|mode| named.contains(&mode))
        {
            self.is_alternate = sequence.ends_with(b"h");
        }
        self.is_shaped |= sequence.ends_with(b" q");
    }

    fn end_command(&mut self, end: &[u8]) {
        if self.held.len() < MAX_COMMAND {
            let length = self.held.len();
            self.held.extend_from_slice(end);
            let body = &self.held[2..length];
            let passing = link::allowed(body, &self.held, self.policy);
            self.passed.extend_from_slice(passing);
        } else {
            self.passed.extend_from_slice(link::overlong(&self.held));
        }
        self.restart(At::Ground);
    }

    /// A byte of text, or a control.
    fn character(&mut self, byte: u8) {
        if byte.is_ascii() {
            if !self.character.is_empty() {
                self.replace(self.character.len());
            }
            return self.control(byte);
        }
        self.character.push(byte);
        match str::from_utf8(&self.character) {
            Ok(text) => {
                // C1 controls are dropped; what follows them is text then.
                if !text.chars().any(char::is_control) {
                    self.passed.extend_from_slice(text.as_bytes());
                }
                self.character.clear();
            }
            Err(error) => {
                if let Some(wrong) = error.error_len() {
                    self.replace(wrong);
                }
            }
        }
    }

    /// Replaces so many bytes that are no character, and goes on with the rest.
    fn replace(&mut self, wrong: usize) {
        self.passed.extend_from_slice("\u{fffd}".as_bytes());
        let rest = self.character.split_off(wrong);
        self.character.clear();
        for byte in rest {
            self.character(byte);
        }
    }

    /// An ASCII character or a control.
    fn control(&mut self, byte: u8) {
        match byte {
            ESC => self.restart(At::Escape),
            0..0x20 if !CONTROLS.contains(&byte) => {}
            DEL => {}
            _ => self.passed.push(byte),
        }
    }

    fn hold(&mut self, byte: u8, limit: usize) {
        if self.held.len() < limit {
            self.held.push(byte);
        }
    }

    fn restart(&mut self, at: At) {
        self.held.clear();
        if at == At::Escape {
            self.held.push(ESC);
        }
        self.at = at;
    }
}
