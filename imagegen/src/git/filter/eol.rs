//! `eol=crlf`: converting line endings.

use gix::bstr::ByteSlice;

/// Statistics of a text (git, `struct text_stat`).
#[derive(Debug, Default)]
pub(super) struct Counts {
    nul: usize,
    lone_cr: usize,
    lone_lf: usize,
    crlf: usize,
    printable: usize,
    nonprintable: usize,
    last: u8,
}

impl Counts {
    /// Counts the next piece of the text.
    pub(super) fn push(&mut self, piece: &[u8]) {
        for &byte in piece {
            let class = match (byte, self.last) {
                (b'\n', b'\r') => {
                    // It was counted as a lone one.
                    self.lone_cr -= 1;
                    &mut self.crlf
                }
                (b'\n', _) => &mut self.lone_lf,
                (b'\r', _) => &mut self.lone_cr,
                (0, _) => {
                    self.nul += 1;
                    &mut self.nonprintable
                }
                (0x08 | b'\t' | 0x1b | 0x0c, _) => &mut self.printable,
                (0x01..0x20 | 0x7f, _) => &mut self.nonprintable,
                _ => &mut self.printable,
            };
            *class += 1;
            self.last = byte;
        }
    }

    /// Whether `text=auto` converts the text: it neither looks binary nor has a
    /// CR.
    pub(super) fn converts(&self) -> bool {
        // The end-of-file mark of DOS at the end does not count.
        let nonprintable = self.nonprintable - usize::from(self.last == 0x1a);
        let binary = self.nul > 0 || self.printable >> 7 < nonprintable;
        self.lone_lf > 0 && self.lone_cr == 0 && self.crlf == 0 && !binary
    }
}

/// Writes CRLF in place of every LF without a CR before it.
#[derive(Debug, Default)]
pub(super) struct Crlf {
    after_cr: bool,
}

impl Crlf {
    /// Lines of fewer bytes than this, on average, cost less byte by byte.
    const SHORT: usize = 16;

    /// Converts the next piece of the text.
    pub(super) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let lines: usize = piece.iter().map(|byte| usize::from(*byte == b'\n')).sum();
        if lines > piece.len() / Self::SHORT {
            out.reserve(piece.len() + lines);
            self.push_bytes(piece, out);
        } else {
            self.push_lines(piece, out);
        }
    }

    fn push_bytes(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for &byte in piece {
            if byte == b'\n' && !self.after_cr {
                out.push(b'\r');
            }
            out.push(byte);
            self.after_cr = byte == b'\r';
        }
    }

    fn push_lines(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for line in piece.lines_with_terminator() {
            match line.strip_suffix(b"\n") {
                Some(text) if !self.follows_cr(text) => {
                    out.extend_from_slice(text);
                    out.extend_from_slice(b"\r\n");
                }
                _ => out.extend_from_slice(line),
            }
            self.after_cr = line.ends_with(b"\r");
        }
    }

    fn follows_cr(&self, text: &[u8]) -> bool {
        text.last().map_or(self.after_cr, |&last| last == b'\r')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_lines_give_the_same() {
        let text = b"\n\n\r\n\r\r\na\nbb\r\n\r";
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            let [mut bytes, mut lines] = [Vec::new(), Vec::new()];
            let [mut by_bytes, mut by_lines] = [Crlf::default(), Crlf::default()];
            for piece in [first, second] {
                by_bytes.push_bytes(piece, &mut bytes);
                by_lines.push_lines(piece, &mut lines);
                assert_eq!(bytes, lines, "{cut}");
            }
            assert_eq!(bytes, b"\r\n\r\n\r\n\r\r\na\r\nbb\r\n\r");
        }
    }
}
