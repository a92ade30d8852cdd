//! Applying deltas (git, `Documentation/gitformat-pack.adoc`, "Deltified
//! representation").

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
};

use crate::numbers::{to_u64, to_usize};

/// The longest header of a delta in bytes: two sizes.
pub(super) const HEAD: usize = 20;

/// How much of a base in a file is read at a time, in bytes.
const WINDOW: u64 = 64 << 10;

const OUTSIDE: Failure = Failure::Corrupt("a delta that copies from outside its base");

/// Why a delta cannot be applied.
#[derive(Debug)]
pub(in crate::git) enum Failure {
    /// The delta is malformed.
    Corrupt(&'static str),
    /// The delta or the base cannot be read, or the result not written.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The object that a delta copies from.
pub(in crate::git) trait Base {
    /// Copies a range of the base to `out`. A range outside the base is
    /// [`Failure::Corrupt`].
    fn copy(&mut self, offset: u64, length: u64, out: &mut impl Write) -> Result<(), Failure>;
}

/// The length of the result, from the header of a delta.
pub(super) fn result_size(mut head: &[u8]) -> Result<u64, Failure> {
    read_size(&mut head)?;
    read_size(&mut head)
}

/// The length of the result, from the header of a delta on a base of
/// `base_size` bytes.
pub(in crate::git) fn read_sizes(delta: &mut impl Read, base_size: u64) -> Result<u64, Failure> {
    if read_size(delta)? != base_size {
        return Err(Failure::Corrupt("a delta for a base of another length"));
    }
    read_size(delta)
}

/// Executes the instructions of a delta, which follow its header. The result
/// must be `size` bytes long.
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
        left = rest.ok_or(Failure::Corrupt("a delta with a result that is too long"))?;
        Ok::<_, Failure>(())
    };
    while let Some(code) = next(delta)? {
        match code {
            0 => return Err(Failure::Corrupt("a delta with the reserved instruction 0")),
            1..=0x7f => {
                take(u64::from(code))?;
                let (literal, _) = literal.split_at_mut(usize::from(code));
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
        _ => Err(Failure::Corrupt("a delta with a result that is too short")),
    }
}

/// The offset and length of a copy instruction.
fn read_copy(code: u8, delta: &mut impl Read) -> Result<(u64, u64), Failure> {
    let mut operand = [0; 8];
    for (bit, byte) in operand.iter_mut().take(7).enumerate() {
        if code & (1_u8 << bit) != 0 {
            *byte = next(delta)?.ok_or(Failure::Corrupt("a truncated delta"))?;
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
    let mut size = 0_u64;
    for shift in (0_u32..).step_by(7) {
        let byte = next(delta)?.ok_or(Failure::Corrupt("a delta without its sizes"))?;
        let part = u64::from(byte & 0x7f);
        let shifted = part
            .checked_shl(shift)
            .filter(|shifted| shifted >> shift == part);
        size |= shifted.ok_or(Failure::Corrupt("a delta with a size of more than 64 bits"))?;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(size)
}

fn next(delta: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok((delta.read(&mut byte)? == 1).then(|| u8::from_le_bytes(byte)))
}

impl Base for &[u8] {
    fn copy(&mut self, offset: u64, length: u64, out: &mut impl Write) -> Result<(), Failure> {
        let end = offset.checked_add(length).map(to_usize).ok_or(OUTSIDE)?;
        let piece = self.get(to_usize(offset)..end).ok_or(OUTSIDE)?;
        Ok(out.write_all(piece)?)
    }
}

/// A base in a file, read through a window.
pub(in crate::git) struct FileBase<'a> {
    file: &'a File,
    size: u64,
    window: Vec<u8>,
    /// The offset of the window in the file.
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

    /// At least one byte of the base from `at` on, and none from `end` on;
    /// `end` is greater than `at` and not after the end of the base.
    fn piece(&mut self, at: u64, end: u64) -> io::Result<&[u8]> {
        let in_window = at
            .checked_sub(self.start)
            .filter(|from| *from < to_u64(self.window.len()));
        let from = if let Some(from) = in_window {
            from
        } else {
            let left = self.size.checked_sub(at);
            let length = left.ok_or(io::ErrorKind::UnexpectedEof)?.min(WINDOW);
            self.window.resize(to_usize(length), 0);
            self.file.read_exact_at(&mut self.window, at)?;
            self.start = at;
            0
        };
        let (_, piece) = self.window.split_at(to_usize(from));
        let most = end.checked_sub(at).map_or(0, to_usize);
        let (piece, _) = piece.split_at(most.min(piece.len()));
        assert!(!piece.is_empty(), "a range in the base has bytes left");
        Ok(piece)
    }
}

impl Base for FileBase<'_> {
    fn copy(&mut self, offset: u64, length: u64, out: &mut impl Write) -> Result<(), Failure> {
        let end = offset.checked_add(length).filter(|end| *end <= self.size);
        let (mut at, end) = (offset, end.ok_or(OUTSIDE)?);
        while at < end {
            let piece = self.piece(at, end)?;
            out.write_all(piece)?;
            at = at.checked_add(to_u64(piece.len())).ok_or(OUTSIDE)?;
        }
        Ok(())
    }
}
