//! A message: what a caller may send, and the bytes that type it.

use thiserror::Error;

use super::codex::interface::{COMMANDS, ENTER};

/// The longest message in characters (Unicode scalar values). Codex refuses a
/// longer one, and leaves it in its input line.
pub const MAX_CHARS: usize = 1_048_576;

/// Why a text cannot be a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TextError {
    /// Nothing would be left to type.
    #[error(
        "the message is empty: nothing is left of it once control characters and outer white space are gone"
    )]
    Empty,
    /// It has more than [`MAX_CHARS`] characters: this many.
    #[error("the message has {0} characters; at most {MAX_CHARS} are taken")]
    TooLong(usize),
}

/// A message: text that cannot end a bracketed paste, since it has no escape
/// sequences, and no control characters except line feeds and tabs. Without
/// outer white space it has 1 to [`MAX_CHARS`] characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Removes from `raw` what could act as a key.
    ///
    /// # Errors
    ///
    /// When nothing is left but white space, or more than [`MAX_CHARS`] characters.
    pub fn new(raw: &str) -> Result<Self, TextError> {
        let clean = sanitise(raw);
        let length = clean.trim().chars().count();
        match length {
            0 => Err(TextError::Empty),
            1..=MAX_CHARS => Ok(Self(clean)),
            _ => Err(TextError::TooLong(length)),
        }
    }

    /// The text as codex records it: without outer white space.
    pub fn trimmed(&self) -> &str {
        self.0.trim()
    }

    /// Whether codex takes it as a command: one of its own (`/`), or of the shell (`!`).
    pub fn is_command(&self) -> bool {
        self.0.starts_with(COMMANDS)
    }

    /// The bytes of one bracketed paste.
    ///
    /// The space at the end of the paste closes the completion popup that a last
    /// word like `@x` or `$x` opens, where Enter would pick an entry.
    pub fn as_paste(&self) -> Vec<u8> {
        [b"\x1b[200~", self.0.as_bytes(), b" \x1b[201~"].concat()
    }

    /// How many characters [`as_paste`](Self::as_paste) pastes.
    pub fn pasted(&self) -> usize {
        self.0.chars().count() + 1
    }

    /// The same and Enter, in one piece.
    pub fn as_paste_and_enter(&self) -> Vec<u8> {
        [&self.as_paste(), ENTER].concat()
    }

    /// The text as keys, for a program that does not know bracketed paste.
    pub fn as_keys(&self) -> Vec<u8> {
        let mut keys = self.0.replace('\n', "\r").into_bytes();
        keys.push(b'\r');
        keys
    }
}

fn sanitise(raw: &str) -> String {
    let lines = raw.replace("\r\n", "\n").replace('\r', "\n");
    let mut clean = String::with_capacity(lines.len());
    let mut rest = lines.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '\x1b' => skip_sequence(&mut rest),
            '\u{9b}' => skip_csi(&mut rest),
            '\n' | '\t' => clean.push(next),
            _ if next.is_control() => {}
            _ => clean.push(next),
        }
    }
    clean
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Skips the rest of a sequence after its ESC. The body of a string sequence
/// (OSC, DCS) stays as text: a sequence that has no end would otherwise take
/// the message with it.
fn skip_sequence(rest: &mut Rest<'_>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_csi(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_' | 'O' | 'N' | '\\') => {
            rest.next();
        }
        _ => {}
    }
}

/// Skips parameters, intermediates and the final byte (ECMA-48 §5.4).
fn skip_csi(rest: &mut Rest<'_>) {
    while rest.next_if(|c| ('\x20'..='\x3f').contains(c)).is_some() {}
    rest.next_if(|c| ('\x40'..='\x7e').contains(c));
}

#[cfg(test)]
mod tests {
    use super::{MAX_CHARS, Text, TextError};

    fn paste(raw: &str) -> String {
        String::from_utf8(Text::new(raw).unwrap().as_paste_and_enter()).unwrap()
    }

    #[test]
    fn a_message_is_one_paste_and_enter() {
        assert_eq!(paste("see @x"), "\x1b[200~see @x \x1b[201~\r");
        assert_eq!(paste("a\r\nb\rc\n"), "\x1b[200~a\nb\nc\n \x1b[201~\r");
        assert_eq!(paste("\tπ 👩‍👩‍👧 שלום"), "\x1b[200~\tπ 👩‍👩‍👧 שלום \x1b[201~\r");
        let two = Text::new("a\nb").unwrap();
        assert_eq!((two.as_keys(), two.pasted()), (b"a\rb\r".to_vec(), 4));
    }

    #[test]
    fn no_text_breaks_out_of_the_paste() {
        let attacks = [
            "a\x1b[201~\r\x03\x1a\x04b",
            "a\x1b\x1b[201~b",
            "a\x1b[2\x1b[201~01~b",
            "a\u{9b}201~b",
            "a\x1b]0;t\x07b\x1b\\",
            "a\x1b[122;5ub",
            "a\x7f\u{85}\u{80}b",
            "a\x1b[20\x001~b",
            "a\x1b",
            "a\x1b[",
        ];
        for attack in attacks {
            let typed = paste(attack);
            let inner = typed.strip_prefix("\x1b[200~").unwrap();
            let inner = inner.strip_suffix(" \x1b[201~\r").unwrap();
            assert!(
                !inner
                    .chars()
                    .any(|c| c.is_control() && c != '\n' && c != '\t'),
                "{attack:?}"
            );
            assert!(inner.starts_with('a'), "{attack:?}");
        }
        assert_eq!(paste("a\x1b[31mb\x1b[0mc"), "\x1b[200~abc \x1b[201~\r");
    }

    #[test]
    fn a_text_has_a_length() {
        assert_eq!(Text::new(" \n\x1b[201~ "), Err(TextError::Empty));
        assert!(Text::new(&"é".repeat(MAX_CHARS)).is_ok());
        let long = Text::new(&"é".repeat(MAX_CHARS + 1));
        assert_eq!(long, Err(TextError::TooLong(MAX_CHARS + 1)));
    }
}
