//! Text of others, such as the words of a server, for a terminal or a log.

use std::borrow::Cow;

/// The text on one line, with the escapes of Rust in place of every character that
/// a terminal obeys instead of showing it: control characters (C0, DEL and C1), line
/// and paragraph separators, and those that change the direction of writing.
///
/// ```
/// # use blockd_nbd::printable;
/// assert_eq!(printable("größer"), "größer");
/// assert_eq!(printable("\x1b[31mno\n"), r"\u{1b}[31mno\n");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for each in text.chars() {
        if is_obeyed(each) {
            shown.extend(each.escape_default());
        } else {
            shown.push(each);
        }
    }
    Cow::Owned(shown)
}

fn is_obeyed(each: char) -> bool {
    each.is_control()
        || matches!(each, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        for (text, shown) in [
            ("\x1b]2;owned\x07", r"\u{1b}]2;owned\u{7}"),
            ("a\r\nb\t\x7f\u{9b}31m", r"a\r\nb\t\u{7f}\u{9b}31m"),
            ("a\u{202e}b\u{2069}", r"a\u{202e}b\u{2069}"),
            ("日本 ä \\ '", "日本 ä \\ '"),
            ("", ""),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
