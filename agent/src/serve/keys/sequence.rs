//! Escape sequences that mean a key with Ctrl.
//!
//! ```text
//! CSI code[:shifted[:base]] ; modifiers[:event] ; text[:text…] u    kitty
//! CSI 27 ; modifiers ; code ~                                       modifyOtherKeys
//! ```

use super::Key;

/// The bit of Ctrl in a modifier parameter, once one is taken off.
const CTRL: u32 = 4;

/// The key that a whole CSI sequence means, if it is one of ours.
pub(super) fn control_key(sequence: &[u8]) -> Option<Key> {
    let body = str::from_utf8(sequence.strip_prefix(b"\x1b[")?).ok()?;
    if let Some(body) = body.strip_suffix('u') {
        kitty(body)
    } else {
        other_keys(body.strip_suffix('~')?)
    }
}

fn kitty(body: &str) -> Option<Key> {
    let mut fields = body.split(';');
    let codes = numbers(fields.next()?);
    let modifiers = numbers(fields.next().unwrap_or_default());
    let text = numbers(fields.next().unwrap_or_default());
    let has_ctrl = modifiers.first().is_some_and(|number| is_ctrl(*number));
    let plain = codes
        .iter()
        .chain(&text)
        .find_map(|code| control_code(*code));
    let with_ctrl = || codes.iter().find_map(|code| letter_key(*code));
    plain.or_else(|| has_ctrl.then(with_ctrl).flatten())
}

fn other_keys(body: &str) -> Option<Key> {
    let fields: Vec<_> = body.split(';').map(numbers).collect();
    let [kind, modifiers, code] = fields.as_slice() else {
        return None;
    };
    let code = *code.first()?;
    if kind.first() != Some(&27) {
        return None;
    }
    let has_ctrl = modifiers.first().is_some_and(|number| is_ctrl(*number));
    control_code(code).or_else(|| has_ctrl.then(|| letter_key(code)).flatten())
}

/// The numbers of a field; one that is left out, or no number, is zero.
fn numbers(field: &str) -> Vec<u32> {
    let parts = field.split(':');
    parts.map(|part| part.parse().unwrap_or(0)).collect()
}

fn is_ctrl(modifiers: u32) -> bool {
    modifiers.saturating_sub(1) & CTRL != 0
}

/// A control character sent as a code of its own.
fn control_code(code: u32) -> Option<Key> {
    u8::try_from(code).ok().and_then(Key::of_byte)
}

fn letter_key(code: u32) -> Option<Key> {
    let letter = char::from_u32(code)?.to_ascii_lowercase();
    Key::ALL.into_iter().find(|key| key.letter() == letter)
}
