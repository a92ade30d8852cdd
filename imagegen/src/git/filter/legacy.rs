//! Encodings with tables, as iconv of glibc implements them.
//!
//! The tables are those of `encoding_rs`, which follow the WHATWG standard. It
//! differs in some characters from glibc, whose output `git checkout` writes.
//! Each row states for which characters the two agree; others are reported as
//! unsupported. A test compares every character of every row with iconv.

use encoding_rs as web;

use Agreement::{Bytes, NoControls, Whole};

/// A range of encoded characters: the lowest and highest first byte, and the
/// lowest and highest second byte.
type ByteRange = (u8, u8, u8, u8);
/// A range of code points: the first and the last.
type CharRange = (u32, u32);

/// The characters for which `encoding_rs` agrees with glibc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// All.
    Whole,
    /// All except the control characters `U+0080` to `U+009F`, which glibc does
    /// not encode.
    NoControls,
    /// ASCII, and those encoded in these ranges of bytes, except these code
    /// points.
    Bytes(&'static [ByteRange], &'static [CharRange]),
}

/// An encoding and its names in glibc.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Legacy {
    names: &'static str,
    table: &'static web::Encoding,
    agreement: Agreement,
}

/// The result of encoding one character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoded {
    /// This many bytes at the start of the buffer.
    Bytes(usize),
    /// The encoding does not have the character; glibc fails.
    Missing,
    /// It is not known what glibc does.
    Unsure,
}

impl Legacy {
    /// All of these encodings.
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        LEGACY.iter()
    }

    /// Its names, in upper case.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.split(' ')
    }

    /// The encoding with this name, given in upper case.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        Self::all().find(|legacy| legacy.names().any(|own| own == name))
    }

    /// Encodes one character. None of these encodings is stateful.
    pub(super) fn encode(&self, character: char, out: &mut [u8; 8]) -> Encoded {
        // glibc silently omits these where it cannot encode them.
        if matches!(character, '\u{e0000}'..='\u{e007f}') {
            return Encoded::Unsure;
        }
        let (mut utf8, mut encoder) = ([0; 4], self.table.new_encoder());
        let text = character.encode_utf8(&mut utf8);
        let (result, _, length) = encoder.encode_from_utf8_without_replacement(text, out, true);
        let bytes = match result {
            web::EncoderResult::InputEmpty => out.split_at(length).0,
            _ => &[],
        };
        match self.agreement {
            Whole | NoControls if bytes.is_empty() => Encoded::Missing,
            NoControls if is_control(character) => Encoded::Missing,
            Bytes(agreed, except) if !agree(agreed, except, character, bytes) => Encoded::Unsure,
            _ => Encoded::Bytes(length),
        }
    }
}

fn is_control(character: char) -> bool {
    matches!(character, '\u{80}'..='\u{9f}')
}

fn agree(agreed: &[ByteRange], except: &[CharRange], character: char, bytes: &[u8]) -> bool {
    let (one, two) = match bytes {
        [one] if one.is_ascii() => return true,
        [one] => (*one, 0),
        [one, two, ..] => (*one, *two),
        [] => return false,
    };
    let number = u32::from(character);
    agreed
        .iter()
        .any(|range| (range.0..=range.1).contains(&one) && (range.2..=range.3).contains(&two))
        && !except
            .iter()
            .any(|range| (range.0..=range.1).contains(&number))
}

const fn row(names: &'static str, table: &'static web::Encoding, agreement: Agreement) -> Legacy {
    Legacy {
        names,
        table,
        agreement,
    }
}

/// One row per line, so that the columns line up.
#[rustfmt::skip]
static LEGACY: [Legacy; 29] = [
    row("ISO-8859-2 ISO8859-2 ISO88592 ISO_8859-2 L2 LATIN2", web::ISO_8859_2, Whole),
    row("ISO-8859-3 ISO8859-3 ISO88593 ISO_8859-3 L3 LATIN3", web::ISO_8859_3, Whole),
    row("ISO-8859-4 ISO8859-4 ISO88594 ISO_8859-4 L4 LATIN4", web::ISO_8859_4, Whole),
    row("ISO-8859-5 ISO8859-5 ISO88595 ISO_8859-5 CYRILLIC", web::ISO_8859_5, Whole),
    row("ISO-8859-6 ISO8859-6 ISO88596 ISO_8859-6 ARABIC", web::ISO_8859_6, Whole),
    row("ISO-8859-7 ISO8859-7 ISO88597 ISO_8859-7 GREEK", web::ISO_8859_7, Whole),
    row("ISO-8859-8 ISO8859-8 ISO88598 ISO_8859-8 HEBREW", web::ISO_8859_8, Whole),
    row("ISO-8859-9 ISO8859-9 ISO88599 ISO_8859-9 L5 LATIN5", web::WINDOWS_1254,
        Bytes(&[(0xa0, 0xff, 0, 0)], &[])),
    row("ISO-8859-10 ISO8859-10 ISO885910 ISO_8859-10 L6 LATIN6", web::ISO_8859_10, Whole),
    row("ISO-8859-13 ISO8859-13 ISO885913 L7 LATIN7", web::ISO_8859_13, Whole),
    row("ISO-8859-14 ISO8859-14 ISO885914 ISO_8859-14 L8 LATIN8", web::ISO_8859_14, Whole),
    row("ISO-8859-15 ISO8859-15 ISO885915 ISO_8859-15 LATIN-9 LATIN9", web::ISO_8859_15, Whole),
    row("ISO-8859-16 ISO8859-16 ISO885916 ISO_8859-16 L10 LATIN10", web::ISO_8859_16, Whole),
    row("CP1250 WINDOWS-1250 MS-EE", web::WINDOWS_1250, NoControls),
    row("CP1251 WINDOWS-1251 MS-CYRL", web::WINDOWS_1251, NoControls),
    row("CP1252 WINDOWS-1252 MS-ANSI", web::WINDOWS_1252, NoControls),
    row("CP1253 WINDOWS-1253 MS-GREEK", web::WINDOWS_1253, NoControls),
    row("CP1254 WINDOWS-1254 MS-TURK", web::WINDOWS_1254, NoControls),
    row("CP1256 WINDOWS-1256 MS-ARAB", web::WINDOWS_1256, NoControls),
    row("CP1257 WINDOWS-1257 WINBALTRIM", web::WINDOWS_1257, NoControls),
    row("CP866 866 IBM866", web::IBM866, Whole),
    row("KOI8-R KOI8R", web::KOI8_R, Whole),
    row("SHIFT-JIS SHIFT_JIS SJIS MS_KANJI CSSHIFTJIS", web::SHIFT_JIS, Bytes(
        &[(0xa1, 0xdf, 0, 0), (0x81, 0x86, 0, 0xff), (0x88, 0x9f, 0, 0xff), (0xe0, 0xea, 0, 0xff)],
        &[(0x2225, 0x2225), (0xff0d, 0xff0d), (0xff5e, 0xff5e)])),
    row("CP932 MS932 SJIS-WIN WINDOWS-31J", web::SHIFT_JIS, Bytes(
        &[(0xa1, 0xdf, 0, 0), (0x81, 0x9f, 0, 0xff), (0xe0, 0xfc, 0, 0xff)], &[])),
    row("EUC-JP EUCJP UJIS", web::EUC_JP, Bytes(
        &[(0x8e, 0x8e, 0, 0xff), (0xa1, 0xa8, 0, 0xff), (0xb0, 0xf4, 0, 0xff)],
        &[(0x2225, 0x2225), (0xff0d, 0xff0d), (0xff5e, 0xff5e), (0xffe0, 0xffe2)])),
    row("EUC-KR EUCKR", web::EUC_KR, Bytes(&[(0xa1, 0xfe, 0xa1, 0xfe)], &[])),
    row("UHC CP949 MSCP949", web::EUC_KR, Whole),
    row("GBK CP936 MS936 WINDOWS-936", web::GBK, Bytes(
        &[(0x80, 0x80, 0, 0), (0x81, 0xfd, 0, 0xff)],
        &[(0x1f9, 0x1f9), (0x1e3f, 0x1e3f), (0x2ff0, 0x2fff), (0x303e, 0x303e),
          (0xe000, 0xf8ff), (0xfe10, 0xfe19)])),
    row("GB18030", web::GB18030, Bytes(
        &[(0x81, 0xfe, 0, 0xff)],
        &[(0xe5e5, 0xe5e5), (0xe78d, 0xe864), (0x20087, 0x20089), (0x200cc, 0x200cc),
          (0x215d7, 0x215d7), (0x2298f, 0x2298f), (0x241fe, 0x241fe)])),
];
