//! A delta applied to its base, both of them in memory or in files.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
};

use crate::git::width::{to_u64, to_usize};

/// The most bytes that the head of a delta takes: two sizes.
pub(super) const HEAD: usize = 20;

/// How much of a base in a file is read at a time.
const WINDOW: usize = 64 << 10;

const OUTSIDE: Failure = Failure::Corrupt("a delta that copies from outside its base");

/// Why a delta could not be applied.
#[derive(Debug)]
pub(in crate::git) enum Failure {
    /// The delta itself makes no sense.
    Corrupt(&'static str),
    /// Reading the delta or the base, or writing the result.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a delta copies from.
pub(in crate::git) trait Base {
    /// Copies a range to `out`; one outside the base is an error.
    fn copy(&mut self, offset: u64, length: u64, out: &mut impl Write) -> Result<(), Failure>;
}

/// The result's length, from the head of a delta, whatever its base is.
pub(super) fn result_size(mut head: &[u8]) -> Result<u64, Failure> {
    read_size(&mut head)?;
    read_size(&mut head)
}

/// The result's length, from the head of a delta on a base of `base_size`
/// bytes.
pub(in crate::git) fn read_sizes(delta: &mut impl Read, base_size: u64) -> Result<u64, Failure> {
    if read_size(delta)? != base_size {
        return Err(Failure::Corrupt("a delta for a base of another length"));
    }
    read_size(delta)
}

/// Follows the instructions of `delta`, behind its head, until it ends; what
/// they make must be `size` bytes.
pub(in crate::git) fn apply(
    delta: &mut impl Read,
    base: &mut impl Base,
    size: u64,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut left = size;
    let mut literal = [0; 0x7f];
    let mut take = |length| {
        let rest = left.checked_sub(length);
        left = rest.ok_or(Failure::Corrupt("a delta that makes too much"))?;
        Ok::<_, Failure>(())
    };
    while let Some(code) = next(delta)? {
        match code {
            0 => return Err(Failure::Corrupt("a delta with the reserved instruction 0")),
            1..=0x7f => {
                take(u64::from(code))?;
                let literal = literal.get_mut(..usize::from(code)).unwrap_or_default();
                delta.read_exact(literal)?;
                out.write_all(literal)?;
            }
            _ => {
                let (offset, length) = read_copy(code, delta)?;
                take(length)?;
                base.copy(offset, length, out)?;
            }
        }
    }
    match left {
        0 => Ok(()),
        _ => Err(Failure::Corrupt("a delta that makes too little")),
    }
}

/// The offset and length of a copy instruction.
fn read_copy(code: u8, delta: &mut impl Read) -> Result<(u64, u64), Failure> {
    let mut operand = [0; 8];
    for (bit, byte) in operand.iter_mut().take(7).enumerate() {
        if code & (1_u8 << bit) != 0 {
            *byte = next(delta)?.ok_or(Failure::Corrupt("a delta that breaks off"))?;
        }
    }
    let operand = u64::from_le_bytes(operand);
    let length = match operand >> 32 {
        0 => 0x10000,
        length => length,
    };
    Ok((operand & 0xffff_ffff, length))
}

/// One of the two sizes at the start of a delta.
fn read_size(delta: &mut impl Read) -> Result<u64, Failure> {
    let (mut size, mut shift) = (0_u64, 0_u32);
    loop {
        let byte = next(delta)?.ok_or(Failure::Corrupt("a delta without its sizes"))?;
        let part = u64::from(byte & 0x7f);
        let moved = part
            .checked_shl(shift)
            .filter(|moved| moved >> shift == part);
        size |= moved.ok_or(Failure::Corrupt("a delta with a size beyond 64 bits"))?;
        shift = shift.saturating_add(7);
        if byte & 0x80 == 0 {
            return Ok(size);
        }
    }
}

fn next(delta: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok((delta.read(&mut byte)? == 1).then(|| u8::from_le_bytes(byte)))
}

impl Base for &[u8] {
    fn copy(&mut self, offset: u64, length: u64, out: &mut impl Write) -> Result<(), Failure> {
        let start = to_usize(offset);
        let piece = self.get(start..start.saturating_add(to_usize(length)));
        Ok(out.write_all(piece.ok_or(OUTSIDE)?)?)
    }
}

/// A base in a file, read in windows.
pub(in crate::git) struct FileBase<'a> {
    file: &'a File,
    size: u64,
    window: Vec<u8>,
    start: u64,
}

impl<'a> FileBase<'a> {
    pub(in crate::git) fn new(file: &'a File, size: u64) -> Self {
        let window = Vec::new();
        Self {
            file,
            size,
            window,
            start: 0,
        }
    }

    /// Some bytes from `at` on, at least one and none from `end` on.
    fn piece(&mut self, at: u64, end: u64) -> io::Result<&[u8]> {
        let window_end = self.start.saturating_add(to_u64(self.window.len()));
        if at < self.start || at >= window_end {
            let length = self.size.saturating_sub(at).min(to_u64(WINDOW));
            self.window.resize(to_usize(length), 0);
            self.file.read_exact_at(&mut self.window, at)?;
            self.start = at;
        }
        let from = to_usize(at.saturating_sub(self.start));
        let to = to_usize(end.saturating_sub(self.start)).min(self.window.len());
        let piece = self.window.get(from..to).filter(|piece| !piece.is_empty());
        piece.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Base for FileBase<'_> {
    fn copy(&mut self, offset: u64, length: u64, out: &mut impl Write) -> Result<(), Failure> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        let (mut at, end) = (offset, end.ok_or(OUTSIDE)?);
        while at < end {
            let piece = self.piece(at, end)?;
            out.write_all(piece)?;
            at = at.saturating_add(to_u64(piece.len()));
        }
        Ok(())
    }
}
