//! Ctrl+Z as terminals send it; the unit tests of the key filter read it, too.

/// Each encoding of it.
pub(crate) const CTRL_Z: [&[u8]; 19] = [
    b"\x1a",
    b"\x1b\x1a",
    b"\x1b[122;5u",
    b"\x1b[122;5:1u",
    b"\x1b[122;5:2u",
    b"\x1b[122;5:3u",
    b"\x1b[122:90;5u",
    b"\x1b[122:90:122;5u",
    b"\x1b[1103::122;5u",
    b"\x1b[122;69u",
    b"\x1b[122;133u",
    b"\x1b[122;197:1;26u",
    b"\x1b[122;6u",
    b"\x1b[122;7u",
    b"\x1b[122;13u",
    b"\x1b[90;5u",
    b"\x1b[26u",
    b"\x1b[26;1u",
    b"\x1b[27;5;122~",
];
