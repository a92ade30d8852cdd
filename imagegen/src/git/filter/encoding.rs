//! `working-tree-encoding`: encoding UTF-8 as iconv of glibc does.

use super::legacy::{Encoded, Legacy};

/// A target encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-16 or UTF-32.
    Utf {
        bytes: usize,
        order: Order,
        mark: bool,
    },
    /// The characters below this code point, each as a byte of that value.
    Below(u32),
    /// An encoding with a table.
    Legacy(&'static Legacy),
}

/// The order of the bytes of a code unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// The result of encoding a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The encoded text.
    Encoded(Vec<u8>),
    /// iconv fails; git then writes the text unchanged.
    Refused,
    /// It is not known how iconv encodes this character.
    Unsure(char),
}

const ISO_8859_1: &str = "ISO-8859-1 ISO8859-1 ISO88591 ISO_8859-1 8859_1 LATIN1 LATIN-1 L1 CP819 \
                          IBM819 ISO-IR-100";
const ASCII: &str = "ASCII US-ASCII US ANSI_X3.4-1968 ISO646-US CP367 IBM367 ISO-IR-6";

impl Encoding {
    /// The encoding of this name; `None` if it is not supported.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let name = str::from_utf8(name).ok()?.to_ascii_uppercase();
        let is_one_of = |names: &str| names.split(' ').any(|own| own == name);
        if let Some(utf) = Self::utf(&name) {
            Some(utf)
        } else if is_one_of(ISO_8859_1) {
            Some(Self::Below(0x100))
        } else if is_one_of(ASCII) {
            Some(Self::Below(0x80))
        } else {
            Legacy::named(&name).map(Self::Legacy)
        }
    }

    /// UTF-16 and UTF-32. If the name has no byte order, glibc writes that of
    /// the machine, assumed to be little endian, and a byte order mark. If it
    /// has one, there is no mark, except with git's own suffix `-BOM`.
    fn utf(name: &str) -> Option<Self> {
        let name = name.strip_prefix("UTF")?;
        let name = name.strip_prefix('-').unwrap_or(name);
        let (bytes, order, mark) = match name {
            "16" | "16LE-BOM" => (2, Order::Little, true),
            "16BE-BOM" => (2, Order::Big, true),
            "16LE" => (2, Order::Little, false),
            "16BE" => (2, Order::Big, false),
            "32" => (4, Order::Little, true),
            "32LE" => (4, Order::Little, false),
            "32BE" => (4, Order::Big, false),
            _ => return None,
        };
        Some(Self::Utf { bytes, order, mark })
    }

    /// Encodes the content of a file.
    pub(super) fn encode(&self, utf8: &[u8]) -> Outcome {
        let Ok(text) = str::from_utf8(utf8) else {
            return Outcome::Refused;
        };
        match self {
            Self::Utf {
                bytes: 2,
                order,
                mark,
            } => Outcome::Encoded(utf16(text, *order, *mark)),
            Self::Utf { order, mark, .. } => Outcome::Encoded(utf32(text, *order, *mark)),
            Self::Below(limit) => below(text, *limit),
            Self::Legacy(legacy) => by_table(text, legacy),
        }
    }
}

const MARK: &str = "\u{feff}";

fn utf16(text: &str, order: Order, mark: bool) -> Vec<u8> {
    let mark = if mark { MARK } else { "" };
    let units = mark.encode_utf16().chain(text.encode_utf16());
    match order {
        Order::Little => units.flat_map(u16::to_le_bytes).collect(),
        Order::Big => units.flat_map(u16::to_be_bytes).collect(),
    }
}

fn utf32(text: &str, order: Order, mark: bool) -> Vec<u8> {
    let mark = if mark { MARK } else { "" };
    let units = mark.chars().chain(text.chars()).map(u32::from);
    match order {
        Order::Little => units.flat_map(u32::to_le_bytes).collect(),
        Order::Big => units.flat_map(u32::to_be_bytes).collect(),
    }
}

fn below(text: &str, limit: u32) -> Outcome {
    let byte = |character| {
        let number = u32::from(character);
        u8::try_from(number)
            .ok()
            .filter(|_| number < limit)
            .ok_or(character)
    };
    match text.chars().map(byte).collect() {
        Ok(bytes) => Outcome::Encoded(bytes),
        // iconv omits these; see `Legacy::encode`.
        Err(tag @ '\u{e0000}'..='\u{e007f}') => Outcome::Unsure(tag),
        Err(_) => Outcome::Refused,
    }
}

fn by_table(text: &str, legacy: &Legacy) -> Outcome {
    let (mut out, mut buffer) = (Vec::with_capacity(text.len()), [0; 8]);
    for character in text.chars() {
        match legacy.encode(character, &mut buffer) {
            Encoded::Bytes(length) => out.extend(buffer.iter().take(length)),
            Encoded::Missing => return Outcome::Refused,
            Encoded::Unsure => return Outcome::Unsure(character),
        }
    }
    Outcome::Encoded(out)
}
