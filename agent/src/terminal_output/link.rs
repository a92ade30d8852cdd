//! Operating system commands (OSC): hyperlinks, and titles where they are wanted.
//!
//! ```text
//! ESC ] 8 ; id=1 ; https://example.org/ ST      a link begins
//! ESC ] 8 ; ; ST                                it ends
//! ```

use super::policy::Policy;

/// Ends a link. It stands for a link that may not pass: otherwise its text would
/// belong to the one before.
pub(super) const END: &[u8] = b"\x1b]8;;\x1b\\";

/// The schemes that a browser opens.
const SCHEMES: [&str; 2] = ["http://", "https://"];

/// The bytes of a command that pass; `body` is between ESC ] and its end.
pub(super) fn allowed<'a>(body: &[u8], whole: &'a [u8], policy: Policy) -> &'a [u8] {
    let Some(at) = body.iter().position(|byte| *byte == b';') else {
        return b"";
    };
    let (number, text) = (&body[..at], &body[at + 1..]);
    match number {
        b"8" if is_link(text) => whole,
        b"8" => END,
        b"0" | b"1" | b"2" if policy.title && is_title(text) => whole,
        _ => b"",
    }
}

/// What stands for a command that is too long.
pub(super) fn overlong(begin: &[u8]) -> &'static [u8] {
    if begin.starts_with(b"\x1b]8;") {
        END
    } else {
        b""
    }
}

/// Whether this is the end of a link, or one to a page, as parameters and URI.
fn is_link(text: &[u8]) -> bool {
    let visible = text.iter().all(|byte| (0x20..0x7f).contains(byte));
    // What is not UTF-8 is not visible ASCII either.
    let text = str::from_utf8(text).ok().filter(|_| visible);
    let uri = text
        .and_then(|text| text.split_once(';'))
        .map(|(_, uri)| uri);
    uri.is_some_and(|uri| {
        let lower = uri.to_ascii_lowercase();
        let is_page = SCHEMES.iter().any(|scheme| lower.starts_with(scheme));
        uri.is_empty() || (is_page && !uri.contains(' '))
    })
}

fn is_title(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| !text.chars().any(char::is_control))
}
