//! Sets of bytes in patterns, `[…]`, as in git's `wildmatch.c`.

use gix::bstr::ByteSlice;

/// A set of bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ByteSet {
    bits: [u128; 2],
    negated: bool,
}

impl ByteSet {
    pub(super) fn has(&self, byte: u8) -> bool {
        let [low, high] = self.bits;
        let bits = if byte.is_ascii() { low } else { high };
        (bits >> (byte & 0x7f) & 1 == 1) != self.negated
    }

    fn add(&mut self, byte: u8) {
        let [low, high] = &mut self.bits;
        let bits = if byte.is_ascii() { low } else { high };
        *bits |= 1 << (byte & 0x7f);
    }

    /// Parses a set whose opening bracket was consumed; returns it and the rest
    /// of the pattern. `None` if it is malformed.
    pub(super) fn parse(pattern: &[u8]) -> Option<(Self, &[u8])> {
        let mut set = Self::default();
        let mut rest = pattern;
        if let [b'!' | b'^', behind @ ..] = rest {
            (set.negated, rest) = (true, behind);
        }
        let mut last = None;
        loop {
            (last, rest) = set.item(last, rest)?;
            // A closing bracket in first position is a member of the set.
            if let [b']', behind @ ..] = rest {
                return Some((set, behind));
            }
        }
    }

    /// Adds the next item. `last` is the byte before it, which may start a
    /// range. Returns the byte that may start the next range, and the rest of
    /// the pattern.
    fn item<'a>(&mut self, last: Option<u8>, rest: &'a [u8]) -> Option<(Option<u8>, &'a [u8])> {
        if let ([b'-', behind @ ..], Some(start)) = (rest, last)
            && !behind.is_empty()
            && !behind.starts_with(b"]")
        {
            let (end, behind) = unescape(behind)?;
            (start..=end).for_each(|byte| self.add(byte));
            return Some((None, behind));
        }
        if let Some(class) = rest.strip_prefix(b"[:") {
            let (name, behind) = class.split_once_str("]")?;
            if let Some(name) = name.strip_suffix(b":") {
                self.add_class(name)?;
                return Some((None, behind));
            }
        }
        let (byte, behind) = unescape(rest)?;
        self.add(byte);
        Some((Some(byte), behind))
    }

    /// Adds the bytes of a character class; `None` if there is no such class.
    fn add_class(&mut self, name: &[u8]) -> Option<()> {
        let is_member: fn(&u8) -> bool = match name {
            b"alnum" => u8::is_ascii_alphanumeric,
            b"alpha" => u8::is_ascii_alphabetic,
            b"blank" => |byte| matches!(byte, b' ' | b'\t'),
            b"cntrl" => u8::is_ascii_control,
            b"digit" => u8::is_ascii_digit,
            b"graph" => u8::is_ascii_graphic,
            b"lower" => u8::is_ascii_lowercase,
            b"print" => |byte| matches!(byte, b' '..=b'~'),
            b"punct" => u8::is_ascii_punctuation,
            b"space" => |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
            b"upper" => u8::is_ascii_uppercase,
            b"xdigit" => u8::is_ascii_hexdigit,
            _ => return None,
        };
        let members = (0..=0x7f).filter(is_member);
        members.for_each(|byte| self.add(byte));
        Some(())
    }
}

/// The first byte, after a backslash if there is one, and the rest.
fn unescape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&byte, rest) = text.strip_prefix(b"\\").unwrap_or(text).split_first()?;
    Some((byte, rest))
}
