//! Escape sequences that mean a key with Ctrl.
//!
//! ```text
//! CSI code[:shifted[:base]] ; modifiers[:event] ; text[:text…] u    kitty
//! CSI 27 ; modifiers ; code ~                                       modifyOtherKeys
//! ```

use super::key::Key;

/// The bit of Ctrl in a modifier parameter, after 1 is subtracted.
const CTRL: u32 = 4;

/// The blockable key that a whole CSI sequence means, if it means one.
pub(super) fn control_key(sequence: &[u8]) -> Option<Key> {
    // A sequence that is not UTF-8 has no numbers.
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
    let modifiers = fields.next().map_or_else(Vec::new, numbers);
    let text = fields.next().map_or_else(Vec::new, numbers);
    let has_ctrl = has_ctrl(&modifiers);
    let codes = codes.into_iter().flatten();
    let mut plain = codes.clone().chain(text.into_iter().flatten());
    let plain = plain.find_map(control_code);
    let with_ctrl = || codes.clone().find_map(letter_key);
    plain.or_else(|| has_ctrl.then(with_ctrl).flatten())
}

fn other_keys(body: &str) -> Option<Key> {
    let fields: Vec<_> = body.split(';').map(numbers).collect();
    let [kind, modifiers, code] = fields.as_slice() else {
        return None;
    };
    let code = (*code.first()?)?;
    if *kind.first()? != Some(27) {
        return None;
    }
    let with_ctrl = || has_ctrl(modifiers).then(|| letter_key(code)).flatten();
    control_code(code).or_else(with_ctrl)
}

/// The parts of a field; none for a part that is left out or is not a number.
fn numbers(field: &str) -> Vec<Option<u32>> {
    let parts = field.split(':');
    parts.map(|part| part.parse().ok()).collect()
}

/// Whether the first number of a modifier field, which is 1 plus the bits of
/// the modifiers, has Ctrl.
fn has_ctrl(modifiers: &[Option<u32>]) -> bool {
    let number = modifiers.first().copied().flatten();
    let bits = number.and_then(|number| number.checked_sub(1));
    bits.is_some_and(|bits| bits & CTRL != 0)
}

/// The key whose control character is sent as a code of its own.
fn control_code(code: u32) -> Option<Key> {
    Key::of_byte(u8::try_from(code).ok()?)
}

/// The key of the letter that is typed with Ctrl.
fn letter_key(code: u32) -> Option<Key> {
    let letter = char::from_u32(code)?.to_ascii_lowercase();
    Key::ALL.into_iter().find(|key| key.letter() == letter)
}
