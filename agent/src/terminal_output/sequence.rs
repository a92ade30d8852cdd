//! A control sequence: how it is made up (ECMA-48 §5.4).
//!
//! ```text
//! ESC [   ?         25 ; 1        SP              h
//!         marker    parameters    intermediate    final byte
//! ```

/// A control sequence that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence<'a> {
    /// The whole.
    pub(super) bytes: &'a [u8],
    /// One of `<=>?`, or nothing.
    marker: &'a [u8],
    /// Digits, colons and semicolons.
    pub(super) parameters: &'a [u8],
    /// Intermediate bytes and the final byte.
    end: &'a [u8],
}

impl<'a> Sequence<'a> {
    /// Takes one apart that begins with ESC [ and ends with a final byte; none if
    /// its bytes come in no order that has a meaning.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let body = bytes.strip_prefix(b"\x1b[")?;
        let (marker, rest) = split(body, |byte| (0x3c..=0x3f).contains(&byte));
        let (parameters, end) = split(rest, |byte| (0x30..=0x3b).contains(&byte));
        let (_, last) = split(end, |byte| (0x20..=0x2f).contains(&byte));
        let is_whole = marker.len() <= 1 && last.len() == 1;
        is_whole.then_some(Self {
            bytes,
            marker,
            parameters,
            end,
        })
    }

    /// What the function is known by: all but the parameters.
    pub(super) fn name(&self) -> Vec<u8> {
        [self.marker, self.end].concat()
    }

    /// The sequence with other parameters.
    pub(super) fn with_parameters(&self, parameters: &[u8]) -> Vec<u8> {
        [b"\x1b[", self.marker, parameters, self.end].concat()
    }
}

/// Splits before the first byte that does not belong.
fn split(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !belongs(*byte));
    bytes.split_at(end.unwrap_or(bytes.len()))
}
