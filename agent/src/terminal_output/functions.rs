//! The control functions that pass: the whole list.

use super::{
    modes::{ANSI, Mode, PRIVATE},
    policy::{
        Policy,
        Purpose::{self, Draws, History, Keys},
    },
    sequence::Sequence,
};

/// The C0 controls that pass: BEL, BS, HT, LF, VT, FF, CR, SO and SI. ENQ is
/// answered, and NUL and DEL draw nothing.
pub(super) const CONTROLS: [u8; 9] = [0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f];

/// What follows ESC in the sequences without parameters that pass.
const ESCAPES: &[(&[u8], Purpose)] = &[
    (b"7", Draws),  // DECSC: saves the cursor
    (b"8", Draws),  // DECRC: restores it
    (b"D", Draws),  // IND: down, and scrolls
    (b"E", Draws),  // NEL: next line
    (b"H", Draws),  // HTS: sets a tab stop
    (b"M", Draws),  // RI: up, and scrolls
    (b"c", Draws),  // RIS: reset
    (b"(B", Draws), // G0 is ASCII
    (b"(0", Draws), // G0 is DEC's line drawing
    (b")B", Draws), // G1
    (b")0", Draws),
    (b"=", Keys), // DECKPAM: keypad
    (b">", Keys), // DECKPNM
];

/// Which parameters a control sequence may have.
#[derive(Debug, Clone, Copy)]
enum Parameters {
    /// Any.
    Any,
    /// One or none: with more it is another function.
    One,
    /// One or none, and not this.
    OneBut(&'static [u8]),
    /// This alone.
    Only(&'static [u8]),
    /// Some of these modes.
    Modes(&'static [Mode]),
}

use Parameters::{Any, Modes, One, OneBut, Only};

/// A row: marker and intermediate byte, if any, and final byte; parameters; purpose.
type Function = (&'static [u8], Parameters, Purpose);

const FUNCTIONS: &[Function] = &[
    // ECMA-48 §8.3
    (b"@", Any, Draws),          // ICH: inserts blanks
    (b"A", Any, Draws),          // CUU: cursor up
    (b"B", Any, Draws),          // CUD: down
    (b"C", Any, Draws),          // CUF: forward
    (b"D", Any, Draws),          // CUB: back
    (b"E", Any, Draws),          // CNL: lines down
    (b"F", Any, Draws),          // CPL: lines up
    (b"G", Any, Draws),          // CHA: column
    (b"H", Any, Draws),          // CUP: position
    (b"I", Any, Draws),          // CHT: tabs forward
    (b"J", OneBut(b"3"), Draws), // ED: erases in the screen
    (b"K", Any, Draws),          // EL: erases in the line
    (b"L", Any, Draws),          // IL: inserts lines
    (b"M", Any, Draws),          // DL: deletes lines
    (b"P", Any, Draws),          // DCH: deletes characters
    (b"S", Any, Draws),          // SU: scrolls up
    (b"T", One, Draws),          // SD: scrolls down; with five, mouse highlighting
    (b"X", Any, Draws),          // ECH: erases characters
    (b"Z", Any, Draws),          // CBT: tabs back
    (b"`", Any, Draws),          // HPA: column
    (b"a", Any, Draws),          // HPR: forward
    (b"b", Any, Draws),          // REP: repeats a character
    (b"d", Any, Draws),          // VPA: row
    (b"e", Any, Draws),          // VPR: down
    (b"f", Any, Draws),          // HVP: position
    (b"g", Any, Draws),          // TBC: clears tab stops
    (b"h", Modes(ANSI), Draws),  // SM
    (b"l", Modes(ANSI), Draws),  // RM
    (b"m", Any, Draws),          // SGR: colours and styles
    // DEC and xterm, ctlseqs
    (b"J", Only(b"3"), History),  // ED: erases the rows that scrolled off
    (b"?J", OneBut(b"3"), Draws), // DECSED
    (b"?K", Any, Draws),          // DECSEL
    (b"?h", Modes(PRIVATE), Draws), // DECSET
    (b"?l", Modes(PRIVATE), Draws), // DECRST
    (b"!p", Any, Draws),          // DECSTR: soft reset
    (b" q", Any, Draws),          // DECSCUSR: shape of the cursor
    (b"r", Any, Draws),           // DECSTBM: scroll region
    (b"s", Any, Draws),           // SCOSC: saves the cursor; DECSLRM
    (b"u", Only(b""), Draws),     // SCORC: restores it
    // What the keyboard sends.
    (b">m", Any, Keys), // XTMODKEYS
    (b">n", Any, Keys), // its reset
    (b"<u", Any, Keys), // kitty's: pop
    (b"=u", Any, Keys), // kitty's: set
    (b">u", Any, Keys), // kitty's: push
];

/// Whether an escape sequence without parameters passes; `sequence` begins after ESC.
pub(super) fn is_escape_allowed(sequence: &[u8], policy: Policy) -> bool {
    let found = ESCAPES.iter().find(|(each, _)| *each == sequence);
    found.is_some_and(|(_, purpose)| policy.allows(*purpose))
}

/// The bytes of a control sequence that pass.
pub(super) fn allowed(sequence: &Sequence<'_>, policy: Policy) -> Option<Vec<u8>> {
    let name = sequence.name();
    let mut rows = FUNCTIONS.iter().filter(|(each, ..)| *each == name);
    rows.find_map(|(_, parameters, purpose)| {
        let (passes, given) = (policy.allows(*purpose), sequence.parameters);
        let is_one = !given.iter().any(|byte| b";:".contains(byte));
        // Leading zeros change no number.
        let number = given.iter().position(|digit| *digit != b'0');
        let number = number.map_or(&given[given.len()..], |from| &given[from..]);
        let fits = match parameters {
            Any => true,
            One => is_one,
            OneBut(other) => is_one && number != *other,
            Only(this) => is_one && number == *this,
            Modes(modes) => return passes.then(|| of_modes(sequence, modes, policy)).flatten(),
        };
        (passes && fits).then(|| sequence.bytes.to_owned())
    })
}

/// The sequence with those of its modes that may be set or reset.
fn of_modes(sequence: &Sequence<'_>, modes: &[Mode], policy: Policy) -> Option<Vec<u8>> {
    let given: Vec<_> = sequence.parameters.split(|byte| *byte == b';').collect();
    let passes = |digits: &&&[u8]| {
        // What is no number is no mode.
        let number = str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse::<u16>().ok());
        let known = modes.iter().find(|(mode, _)| Some(*mode) == number);
        known.is_some_and(|(_, purpose)| policy.allows(*purpose))
    };
    let passing: Vec<_> = given.iter().filter(passes).copied().collect();
    (!passing.is_empty()).then(|| sequence.with_parameters(&passing.join(&b';')))
}
