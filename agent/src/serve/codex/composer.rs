//! Codex's input line, recognised on the screen by everything that sets it apart
//! from the lists, overlays and dialogs in which Enter chooses something.
//!
//! ```text
//! › Ask Codex to do anything        the prompt, bold, in the first column;
//! ^ ^ the cursor, visible           a dim placeholder while it is empty
//! ```

use vt100::{Cell, Color, Screen};

use super::interface::{
    DELETE_AFTER, DELETE_BEFORE, FOLDED_CHARS, LEAVE_SHELL, PASTED, PROMPT, QUEUED, QUEUED_ENTRY,
    SHELL_PROMPT, TEXT_COLUMN, UNKNOWN,
};
use crate::serve::text::Text;

/// How many characters of a message codex shows at least in a list of messages.
const MATCH_CHARS: usize = 20;
/// A paste of more lines is folded to one.
const MAX_LINES: usize = 1000;

/// Codex's input line, as the screen shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The characters that it shows and that any terminal shows alike.
    shown: String,
    is_empty: bool,
    is_shell: bool,
    /// Whether its beginning may have scrolled off.
    is_cut: bool,
}

impl Input {
    /// The input line, if the screen shows it and the keys go there: the cursor
    /// is visible, and in it.
    pub fn of(screen: &Screen) -> Option<Self> {
        let (row, column) = screen.cursor_position();
        if screen.hide_cursor() || column < TEXT_COLUMN {
            return None;
        }
        let mut rows = (0..=row).rev();
        let top = rows.find(|row| screen.cell(*row, 0).is_some_and(|cell| !is_blank(cell)))?;
        let is_shell = prompt(screen.cell(top, 0)?)?;
        if !is_blank(screen.cell(top, 1)?) {
            return None;
        }
        let next = row_text(screen, top.saturating_add(1));
        let at_start = (row, column) == (top, TEXT_COLUMN);
        let is_empty = !is_shell && at_start && next.is_none() && is_placeholder(screen, top);
        let shown = if is_empty {
            String::new()
        } else {
            comparable(&text(screen, top, row))
        };
        Some(Self {
            shown,
            is_empty,
            is_shell,
            is_cut: top <= 3,
        })
    }

    /// Whether nothing is in it, so that a paste and Enter submit the paste.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Whether what is typed goes to a shell.
    pub fn is_shell(&self) -> bool {
        self.is_shell
    }

    /// Whether it holds these texts, pasted one after the other, and nothing else, so
    /// that they would be submitted as one message.
    pub fn holds(&self, texts: &[Text]) -> bool {
        let Some((first, more)) = texts.split_first().filter(|_| !self.is_empty) else {
            return false;
        };
        let folded: String = texts.iter().map(|text| self.folded(text)).collect();
        if matches(&self.shown, &folded) {
            return true;
        }
        let whole = self.whole(first);
        let more: String = more.iter().map(Text::trimmed).collect();
        let all = comparable(&format!("{whole}{more}"));
        // A blank line is taken for the end of the input line.
        let mut ends = whole.match_indices("\n\n").map(|(end, _)| end);
        matches(&self.shown, &all)
            || (self.is_cut && is_within(&self.shown, &all))
            || (more.is_empty() && ends.any(|end| self.shown == comparable(&whole[..end])))
    }

    /// A text without what stands for the shell before the input line.
    fn whole<'a>(&self, text: &'a Text) -> &'a str {
        let whole = text.trimmed();
        let command = whole.strip_prefix(SHELL_PROMPT).filter(|_| self.is_shell);
        command.unwrap_or(whole)
    }

    /// What is left of a pasted text, if codex folds it when it is long.
    fn folded(&self, text: &Text) -> String {
        match text.pasted() {
            chars if chars > FOLDED_CHARS => comparable(&format!("{PASTED}{chars} chars]")),
            _ => comparable(self.whole(text)),
        }
    }
}

/// Whether codex says that it does not know this command. The command may then
/// stay in the input line, or not.
#[expect(clippy::missing_panics_doc, reason = "a message is not empty")]
pub fn is_unknown(screen: &str, text: &Text) -> bool {
    let mut words = first_line(text).split_whitespace();
    let command = words.next().expect("a message is not empty");
    screen.contains(&format!("{UNKNOWN} '{command}'"))
}

/// Whether any messages wait for the end of a tool call.
pub fn has_queue(screen: &str) -> bool {
    screen.contains(QUEUED)
}

/// Whether the text is among the messages that wait for the end of a tool call.
pub fn is_queued(screen: &str, text: &Text) -> bool {
    let first: String = first_line(text).chars().take(MATCH_CHARS).collect();
    let entry = format!("{QUEUED_ENTRY} {}", first.trim());
    let queue = screen.split_once(QUEUED);
    queue.is_some_and(|(_, queue)| queue.contains(&entry))
}

/// The keys that delete these texts from the input line, a line or its end at a
/// time; they do nothing in an empty one.
pub fn erase(texts: &[Text]) -> Vec<u8> {
    let lines: usize = texts
        .iter()
        .map(|text| text.trimmed().lines().count())
        .sum();
    let lines = lines.min(MAX_LINES);
    [
        &DELETE_AFTER.repeat(2 * lines),
        &DELETE_BEFORE.repeat(2 * lines),
        LEAVE_SHELL,
    ]
    .concat()
}

/// Whether this is the prompt, and then whether it is that of a shell.
fn prompt(cell: &Cell) -> Option<bool> {
    let is_plain = cell.bold() && !cell.inverse() && !cell.dim();
    match cell.contents() {
        PROMPT if is_plain && cell.fgcolor() == Color::Default => Some(false),
        SHELL_PROMPT if is_plain => Some(true),
        _ => None,
    }
}

fn is_blank(cell: &Cell) -> bool {
    cell.contents().trim().is_empty()
}

/// Whether a row has nothing but dim characters after the prompt.
fn is_placeholder(screen: &Screen, row: u16) -> bool {
    let columns = TEXT_COLUMN..screen.size().1.get();
    let mut cells = columns.filter_map(|column| screen.cell(row, column));
    cells.all(|cell| is_blank(cell) || cell.dim())
}

/// The text of a row after the column of the prompt, if it has any.
fn row_text(screen: &Screen, row: u16) -> Option<String> {
    let columns = TEXT_COLUMN..screen.size().1.get();
    let cells = columns.filter_map(|column| screen.cell(row, column));
    let text: String = cells.map(Cell::contents).collect();
    (!text.trim().is_empty()).then_some(text)
}

/// The text from the prompt to the cursor, and on to the next blank row.
fn text(screen: &Screen, top: u16, cursor: u16) -> String {
    let mut text = String::new();
    for row in top..screen.size().0.get() {
        match row_text(screen, row) {
            Some(line) => text += &line,
            None if row > cursor => break,
            None => {}
        }
    }
    text
}

/// What is left of a text when it is wrapped, and shown by any terminal.
fn comparable(text: &str) -> String {
    let mut text = text.to_owned();
    text.retain(|c| c.is_alphanumeric() || c.is_ascii_graphic());
    text
}

/// Whether what is shown is this text, of which a terminal may lack characters that it
/// draws in another width than codex.
fn matches(shown: &str, text: &str) -> bool {
    let mut rest = text.chars();
    let is_within = shown.chars().all(|c| rest.any(|other| other == c));
    is_within && ascii(shown).eq(ascii(text))
}

/// Whether what is shown is a part of this text.
fn is_within(shown: &str, text: &str) -> bool {
    let shown: String = ascii(shown).collect();
    !shown.is_empty() && ascii(text).collect::<String>().contains(&shown)
}

fn ascii(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(char::is_ascii)
}

fn first_line(text: &Text) -> &str {
    let mut lines = text.trimmed().lines();
    lines.next().expect("a message is not empty").trim_end()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::{Input, is_queued, is_unknown};
    use crate::serve::{screen::Screen, text::Text};

    /// What a real codex of this version put out until it showed this screen.
    fn recorded(path: &str) -> Screen {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/screens");
        let mut screen = Screen::new("120x40".parse().unwrap());
        screen.show(&fs::read(format!("{folder}/{path}")).unwrap());
        screen
    }

    fn input(path: &str) -> Option<Input> {
        Input::of(recorded(path).terminal())
    }

    fn recordings() -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/screens");
        let list = |path: PathBuf| {
            let entries = fs::read_dir(path).unwrap();
            entries.map(|entry| entry.unwrap().path())
        };
        let files = list(folder.into())
            .filter(|path| path.is_dir())
            .flat_map(list);
        let names = files.map(|file| {
            let name = file.strip_prefix(folder).unwrap();
            name.to_str().unwrap().to_owned()
        });
        names.collect()
    }

    /// A recording of a screen with an empty input line is named `empty-…`, one with
    /// a text in it `draft-…`, and one of anything else `other-…`.
    #[test]
    fn only_the_input_line_is_one() {
        let mut counts = [0; 3];
        for path in recordings() {
            let input = input(&path);
            let (_, name) = path.split_once('/').unwrap();
            let (kind, _) = name.split_once('-').unwrap();
            let (index, expected) = match kind {
                "empty" => (0, Some(true)),
                "draft" => (1, Some(false)),
                "other" => (2, None),
                kind => panic!("{kind}"),
            };
            counts[index] += 1;
            let is_empty = input.as_ref().map(Input::is_empty);
            let screen = recorded(&path).text();
            assert_eq!(is_empty, expected, "{path}: {input:?}\n{screen}");
        }
        assert!(counts.iter().all(|count| *count >= 8), "{counts:?}");
    }

    #[test]
    fn the_text_in_the_input_line_is_known() {
        let tall: Vec<_> = (0..60).map(|line| format!("line {line}")).collect();
        for version in super::super::interface::TRIED {
            for (name, text) in [
                ("draft-line", "some draft"),
                ("draft-lines", "one\ntwo\nthree"),
                ("draft-pasted", &"x".repeat(2000)),
                ("draft-tall", &tall.join("\n")),
                ("draft-unknown", "/nosuch"),
                ("draft-shell", "!ls"),
            ] {
                let input = input(&format!("{version}/{name}")).unwrap();
                let holds = |text: &str| input.holds(&[Text::new(text).unwrap()]);
                assert!(holds(text), "{version}/{name}: {input:?}");
                assert!(!holds("another") && !holds("some draft of mine"), "{name}");
            }
        }
    }

    #[test]
    fn texts_that_run_together_are_no_text_alone() {
        let input = input("0.171.0/draft-line").unwrap();
        let texts = |texts: &[&str]| texts.iter().map(|text| Text::new(text).unwrap()).collect();
        let holds = |list: &[&str]| input.holds(&Vec::<Text>::from_iter::<Vec<_>>(texts(list)));
        assert!(holds(&["some draft"]) && holds(&["some", "draft"]));
        assert!(!holds(&["draft"]) && !holds(&["some"]) && !holds(&["draft", "some"]));
        assert!(!holds(&[]) && !holds(&["日本"]));
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
    fn a_message_that_waits_is_recognised() {
        let screen = "• Messages to be submitted after next tool call\n  ↳ hello there";
        for (text, queued) in [("hello there", true), ("hello", true), ("there", false)] {
            assert_eq!(is_queued(screen, &Text::new(text).unwrap()), queued);
        }
    }
}
