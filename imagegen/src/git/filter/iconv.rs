//! iconv of the C library, from UTF-8 to any encoding: what git calls.
//!
//! The C library is the judge of an encoding's name and of every character, so
//! no table of our own can agree with it in all of them. Its tables are part of
//! the host: two servers with different versions of glibc could write different
//! bytes of one commit. In practice these tables are not changed once they are
//! released. An encoding that glibc has and this host has not (a C library
//! without its gconv modules) is an error, never other bytes; see [`is_glibc`].
//!
//! Rust does not call `setlocale`, so the locale is C, whatever the environment
//! says: it decides what `//TRANSLIT` writes.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    io,
};

use rustix::io::Errno;

use crate::numbers::to_u64;

/// The bytes behind the end of the output buffer that iconv is given. An old
/// glibc writes up to 4 bytes there (CVE-2024-2961).
const SLACK: usize = 64;
/// More than any encoding makes of one byte.
const LONGEST: usize = 32;

#[expect(unsafe_code, reason = "functions of the C library")]
// SAFETY: as <iconv.h> and <gnu/libc-version.h> of glibc declare them.
unsafe extern "C" {
    fn iconv_open(to: *const c_char, from: *const c_char) -> *mut c_void;
    fn iconv(
        descriptor: *mut c_void,
        input: *mut *const u8,
        input_left: *mut usize,
        output: *mut *mut u8,
        output_left: *mut usize,
    ) -> usize;
    fn iconv_close(descriptor: *mut c_void) -> c_int;
    fn gnu_get_libc_version() -> *const c_char;
}

/// A conversion of one text from UTF-8, with its shift state.
///
/// Some encodings repeat a shift where an output buffer ends. So the ends are
/// where git has them, which converts a text at once (`reencode_string_iconv`).
#[derive(Debug)]
pub(super) struct Iconv {
    descriptor: *mut c_void,
    /// The bytes of the text that are not converted yet.
    text_left: u64,
    /// The free bytes in git's output buffer.
    space_left: u64,
}

/// iconv cannot convert a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl Iconv {
    /// The conversion of a text of `length` bytes to the encoding `name`; `None`
    /// if this host has none.
    pub(super) fn open(name: &[u8], length: u64) -> Option<Self> {
        let name = CString::new(name).ok()?;
        #[expect(unsafe_code, reason = "a function of the C library")]
        // SAFETY: both are strings that live during the call.
        let descriptor = unsafe { iconv_open(name.as_ptr(), c"UTF-8".as_ptr()) };
        // It returns (iconv_t) -1 for an error.
        (descriptor.addr() != usize::MAX).then(|| Self {
            descriptor,
            text_left: length,
            space_left: length,
        })
    }

    /// Appends the encoded `piece` to `out`. Nothing is written to end a shift
    /// state: git writes nothing either.
    ///
    /// # Errors
    ///
    /// [`Refused`] if the piece is not UTF-8, ends within a character, or has one
    /// that the encoding has not.
    pub(super) fn encode(&mut self, mut piece: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        while !piece.is_empty() {
            let most = piece.len() * LONGEST;
            let offered = usize::try_from(self.space_left).map_or(most, |left| left.min(most));
            let (taken, made, error) = self.step(piece, offered, out);
            self.text_left = self.text_left.saturating_sub(to_u64(taken));
            self.space_left -= to_u64(made);
            match error {
                None => return Ok(()),
                // In an empty buffer, any character has space.
                Some(Errno::TOOBIG) if made > 0 || offered < most => {
                    self.space_left = self.text_left * 2 + 31;
                }
                Some(_) => return Err(Refused),
            }
            piece = piece.split_at(taken).1;
        }
        Ok(())
    }

    /// One call, with space for `offered` bytes: the bytes taken and made, and
    /// the error.
    fn step(
        &mut self,
        piece: &[u8],
        offered: usize,
        out: &mut Vec<u8>,
    ) -> (usize, usize, Option<Errno>) {
        out.reserve(offered + SLACK);
        let space = out.spare_capacity_mut();
        let (mut input, mut input_left) = (piece.as_ptr(), piece.len());
        let (mut output, mut output_left) = (space.as_mut_ptr().cast(), offered);
        #[expect(unsafe_code, reason = "a function of the C library")]
        // SAFETY: the descriptor is open and used by this thread alone; both
        // buffers are as long as said, and iconv does not write to its input.
        let result = unsafe {
            iconv(
                self.descriptor,
                &raw mut input,
                &raw mut input_left,
                &raw mut output,
                &raw mut output_left,
            )
        };
        let error = (result == usize::MAX).then(|| {
            let last = io::Error::last_os_error();
            Errno::from_io_error(&last).expect("iconv sets errno")
        });
        let (taken, made) = (piece.len() - input_left, offered - output_left);
        let length = out.len() + made;
        #[expect(unsafe_code, reason = "iconv has written to the spare capacity")]
        // SAFETY: iconv has initialized the first `made` bytes of it.
        unsafe {
            out.set_len(length);
        }
        (taken, made, error)
    }
}

impl Drop for Iconv {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "a function of the C library")]
        // SAFETY: the descriptor is open, and not used after this.
        let closed = unsafe { iconv_close(self.descriptor) };
        debug_assert_eq!(closed, 0, "the descriptor was open");
    }
}

/// The encodings of glibc 2.36: `iconv -l`.
pub(super) const ENCODINGS: &str = include_str!("encodings.txt");

/// Whether glibc has an encoding of this name, which it reads as its
/// `gconv_charspec.c` does: in upper case, without other characters than these,
/// and without a suffix such as `//TRANSLIT`.
pub(super) fn is_glibc(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    let name = name.split("//").next().expect("it has one part at least");
    let relevant = |one: &char| one.is_ascii_alphanumeric() || "_-,.:/".contains(*one);
    let name: String = name.chars().filter(relevant).collect();
    let name = name.trim_end_matches('/');
    ENCODINGS.lines().any(|own| own == name)
}

/// The version of the C library, which its tables belong to.
pub(in crate::git) fn library_version() -> String {
    #[expect(unsafe_code, reason = "a function of the C library")]
    // SAFETY: it returns a constant string.
    let version = unsafe { CStr::from_ptr(gnu_get_libc_version()) };
    version.to_string_lossy().into_owned()
}
