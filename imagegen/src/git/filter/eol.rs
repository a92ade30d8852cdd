//! `eol=crlf`: converting line endings.

use gix::bstr::ByteSlice;

/// Statistics of a text (git, `struct text_stat`).
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
                    // It was counted as a lone one.
                    counts.lone_cr -= 1;
                    &mut counts.crlf
                }
                (b'\n', _) => &mut counts.lone_lf,
                (b'\r', _) => &mut counts.lone_cr,
                (0, _) => {
                    counts.nul += 1;
                    &mut counts.nonprintable
                }
                (0x08 | b'\t' | 0x1b | 0x0c, _) => &mut counts.printable,
                (0x01..0x20 | 0x7f, _) => &mut counts.nonprintable,
                _ => &mut counts.printable,
            };
            *class += 1;
            last = byte;
        }
        // The end-of-file mark of DOS at the end does not count.
        if last == 0x1a {
            counts.nonprintable -= 1;
        }
        counts
    }

    fn is_binary(&self) -> bool {
        self.lone_cr > 0 || self.nul > 0 || self.printable >> 7 < self.nonprintable
    }
}

/// The text with CRLF in place of every LF without a CR before it; `None` if
/// there is nothing to convert. With `auto`, a text that looks binary or has a
/// CR is not converted.
pub(super) fn to_crlf(text: &[u8], auto: bool) -> Option<Vec<u8>> {
    let counts = Counts::of(text);
    let alone = auto && (counts.lone_cr > 0 || counts.crlf > 0 || counts.is_binary());
    (counts.lone_lf > 0 && !alone).then(|| {
        let mut converted = Vec::with_capacity(text.len() + counts.lone_lf);
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
