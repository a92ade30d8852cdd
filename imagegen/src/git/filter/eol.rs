//! `eol=crlf`.

use gix::bstr::ByteSlice;

/// What a text looks like to git (`struct text_stat`).
#[derive(Default)]
struct Counts {
    nul: usize,
    lone_cr: usize,
    lone_lf: usize,
    crlf: usize,
    printable: usize,
    nonprintable: usize,
}

impl Counts {
    fn of(text: &[u8]) -> Self {
        let mut counts = Self::default();
        let mut last = 0;
        for &byte in text {
            let class = match (byte, last) {
                (b'\n', b'\r') => {
                    counts.lone_cr = counts.lone_cr.saturating_sub(1);
                    &mut counts.crlf
                }
                (b'\n', _) => &mut counts.lone_lf,
                (b'\r', _) => &mut counts.lone_cr,
                (0, _) => {
                    counts.nul = counts.nul.saturating_add(1);
                    &mut counts.nonprintable
                }
                (0x08 | b'\t' | 0x1b | 0x0c, _) => &mut counts.printable,
                (0x01..0x20 | 0x7f, _) => &mut counts.nonprintable,
                _ => &mut counts.printable,
            };
            *class = class.saturating_add(1);
            last = byte;
        }
        // The end-of-file mark of DOS.
        if last == 0x1a {
            counts.nonprintable = counts.nonprintable.saturating_sub(1);
        }
        counts
    }

    fn is_binary(&self) -> bool {
        self.lone_cr > 0 || self.nul > 0 || self.printable >> 7 < self.nonprintable
    }
}

/// The text with CRLF for every LF that has no CR before it; `None` if nothing
/// is to do. With `auto`, what looks binary and what has a CR anywhere is left
/// alone.
pub(super) fn to_crlf(text: &[u8], auto: bool) -> Option<Vec<u8>> {
    let counts = Counts::of(text);
    let alone = auto && (counts.lone_cr > 0 || counts.crlf > 0 || counts.is_binary());
    (counts.lone_lf > 0 && !alone).then(|| {
        let mut converted = Vec::with_capacity(text.len().saturating_add(counts.lone_lf));
        for line in text.lines_with_terminator() {
            match line.strip_suffix(b"\n") {
                Some(line) if !line.ends_with(b"\r") => {
                    converted.extend_from_slice(line);
                    converted.extend_from_slice(b"\r\n");
                }
                _ => converted.extend_from_slice(line),
            }
        }
        converted
    })
}
