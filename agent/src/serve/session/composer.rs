//! Codex's input line on the screen: whether a message is still in it.

use crate::serve::text::Text;

/// What precedes the input line, and the chosen entry of a list.
const PROMPT: char = '›';
/// What codex shows above the messages that wait for the end of a tool call.
/// They may push its input line off the screen.
const QUEUED: &str = "Messages to be submitted";
/// What codex shows before the name of a command that it does not know.
const UNKNOWN: &str = "Unrecognized command";
/// How many characters must match to tell that a line is of a text.
const MATCH_CHARS: usize = 20;
/// A paste of more lines is folded to one.
const MAX_LINES: usize = 1000;

/// Whether the input line still holds the text, or the screen does not show it.
pub(super) fn is_left(screen: &str, text: &Text) -> bool {
    let Some(input) = input(screen) else {
        return !screen.contains(QUEUED);
    };
    let first: String = first_line(text).chars().take(MATCH_CHARS).collect();
    input.starts_with(first.trim()) || input.starts_with("[Pasted")
}

/// Whether codex says that it does not know this command. The command may then
/// stay in the input line, or not.
pub(super) fn is_unknown(screen: &str, text: &Text) -> bool {
    let mut words = first_line(text).split_whitespace();
    let command = words.next().expect("a message is not empty");
    screen.contains(&format!("{UNKNOWN} '{command}'"))
}

/// Whether the input line holds the text and nothing before it, so that Enter
/// would submit it. The entry of a list must not match: Enter would choose it.
pub(super) fn holds(screen: &str, text: &Text) -> bool {
    let (Some(input), first) = (input(screen), first_line(text)) else {
        return false;
    };
    let is_wrapped = || input.chars().count() >= MATCH_CHARS && first.starts_with(input);
    let folded = format!("[Pasted Content {} chars]", text.pasted());
    input == first || input == folded || is_wrapped()
}

/// The keys that delete the text from the input line: Ctrl+K and Ctrl+U delete
/// after and before the cursor, a line or its end at a time, and do nothing in
/// an empty input line.
pub(super) fn erase(text: &Text) -> Vec<u8> {
    let lines = text.trimmed().lines().count().min(MAX_LINES);
    [b"\x0b".repeat(2 * lines), b"\x15".repeat(2 * lines)].concat()
}

fn input(screen: &str) -> Option<&str> {
    let mut inputs = screen
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(PROMPT));
    inputs.next_back().map(str::trim)
}

fn first_line(text: &Text) -> &str {
    let mut lines = text.trimmed().lines();
    lines.next().expect("a message is not empty").trim_end()
}

#[cfg(test)]
mod tests {
    use super::{Text, holds, is_left, is_unknown};

    #[test]
    fn a_screen_shows_whether_a_text_is_left() {
        let text = Text::new("hello there\nyou").unwrap();
        for (screen, left) in [
            ("› hello there", true),
            (
                "› hello there\n\n• done\n\n› Ask Codex to do anything",
                false,
            ),
            ("› [Pasted Content 1024 chars]", true),
            (
                "• Messages to be submitted after next tool call\n  ↳ hello there",
                false,
            ),
            ("Do you trust this folder?", true),
        ] {
            assert_eq!(is_left(screen, &text), left, "{screen}");
        }
    }

    #[test]
    fn a_command_that_codex_does_not_know_is_recognised() {
        let screen = "• Unrecognized command '/nosuch'. Type \"/\" for a list.\n\n› Ask Codex";
        for (text, unknown) in [
            ("/nosuch", true),
            ("/nosuch with\nmore", true),
            ("/status", false),
            ("/no", false),
        ] {
            let text = Text::new(text).unwrap();
            assert_eq!(is_unknown(screen, &text), unknown);
        }
    }

    #[test]
    fn enter_would_submit_the_text_alone() {
        let long = "a text that is longer than the line it is shown on";
        for (text, screen, held) in [
            ("hello there\nyou", "› hello there\n  you", true),
            ("hello there", "› Ask Codex to do anything", false),
            ("hello there", "› a draft of a person hello there", false),
            ("1", "  Which model?\n› 1. the newest\n  2. another", false),
            ("yes", "  Allow this?\n› Yes, proceed\n  No", false),
            (
                long,
                "› a text that is longer than the\n  line it is shown on",
                true,
            ),
            (long, "› a text", false),
            ("0123456789", "› [Pasted Content 11 chars]", true),
            ("0123456789", "› [Pasted Content 12 chars]", false),
            ("hello there", "no input line", false),
        ] {
            let text = Text::new(text).unwrap();
            assert_eq!(holds(screen, &text), held, "{screen}");
        }
    }
}
