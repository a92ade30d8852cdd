//! Codex's input line, as far as it tells what became of a message.

use crate::serve::text::Text;

/// What stands before it, and before the chosen entry of a list.
const PROMPT: char = '›';
/// What codex shows above the messages that wait for the end of a tool call.
/// They may push its input line off the screen.
const QUEUED: &str = "Messages to be submitted";
/// What codex says of a command that it does not know, and then its name.
const UNKNOWN: &str = "Unrecognized command";
/// So many characters of a line are sure to be of this text.
const SURE: usize = 20;
/// What has more is folded to one.
const MOST_LINES: usize = 1000;

/// Whether it still holds the text, or nobody can say.
pub(super) fn is_left(screen: &str, text: &Text) -> bool {
    let Some(input) = input(screen) else {
        return !screen.contains(QUEUED);
    };
    let first: String = first_line(text).chars().take(SURE).collect();
    input.starts_with(first.trim()) || input.starts_with("[Pasted")
}

/// Whether codex says that it knows no such command. As the moment has it, the
/// command then stays in the input line or does not.
pub(super) fn is_unknown(screen: &str, text: &Text) -> bool {
    let command = first_line(text).split_whitespace().next();
    command.is_some_and(|command| screen.contains(&format!("{UNKNOWN} '{command}'")))
}

/// Whether it holds the text and nothing before it, so that Enter would submit
/// that. It must not be taken for an entry of a list: Enter would choose it.
pub(super) fn holds(screen: &str, text: &Text) -> bool {
    let (Some(input), first) = (input(screen), first_line(text)) else {
        return false;
    };
    let is_wrapped = || input.chars().count() >= SURE && first.starts_with(input);
    let folded = format!("[Pasted Content {} chars]", text.pasted());
    input == first || input == folded || is_wrapped()
}

/// The keys that take the text out of it: Ctrl+K and Ctrl+U do so around the
/// cursor, a line or a line's end at a time, and do nothing where all is empty.
pub(super) fn erase(text: &Text) -> Vec<u8> {
    let lines = text.trimmed().lines().count().min(MOST_LINES);
    [b"\x0b".repeat(2 * lines), b"\x15".repeat(2 * lines)].concat()
}

fn input(screen: &str) -> Option<&str> {
    let mut inputs = screen
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(PROMPT));
    inputs.next_back().map(str::trim)
}

fn first_line(text: &Text) -> &str {
    text.trimmed().lines().next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::{Text, holds, is_left, is_unknown};

    #[test]
    fn a_screen_tells_whether_a_text_was_taken() {
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
    fn a_command_that_codex_does_not_know_is_no_message() {
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
    fn enter_is_for_the_text_alone() {
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
