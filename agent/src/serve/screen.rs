//! What a terminal would show of the output.

use std::{
    collections::VecDeque,
    fmt,
    num::{NonZeroU16, ParseIntError},
    str::FromStr,
};

use vt100::{
    Callbacks, Parser, Screen as Vt,
    capture::{
        BasicFormattedCaptureState, RowContents, basic_formatted_rows, basic_formatted_to_plain,
    },
};

/// How many rows that left the screen are kept.
const HISTORY: usize = 2000;

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its lines.
    pub rows: NonZeroU16,
    /// Its columns.
    pub columns: NonZeroU16,
}

/// The header that says how large a terminal is.
pub const SIZE: &str = "agent-terminal-size";

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.columns, self.rows)
    }
}

impl FromStr for Size {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (columns, rows) = text.split_once('x').unwrap_or((text, ""));
        Ok(Self {
            rows: rows.parse()?,
            columns: columns.parse()?,
        })
    }
}

/// Rows that left the screen, as text with colours (SGR) and nothing else.
#[derive(Default)]
struct History {
    rows: VecDeque<String>,
    /// How many there ever were.
    count: u64,
}

impl Callbacks for History {
    fn on_scroll(&mut self, contents: RowContents<'_>, alternate_screen: bool) {
        if alternate_screen {
            return;
        }
        let mut row = String::new();
        let mut state = BasicFormattedCaptureState::new();
        // A string takes everything.
        let _written = contents.write_formatted_basic(&mut row, &mut state);
        if self.rows.len() == HISTORY {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
        self.count += 1;
    }
}

/// A terminal nobody sees.
pub struct Screen {
    parser: Parser<History>,
}

impl fmt::Debug for Screen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Screen").finish_non_exhaustive()
    }
}

impl Screen {
    /// An empty one.
    pub fn new(size: Size) -> Self {
        let history = History::default();
        Self {
            parser: Parser::new_with_callbacks(size.rows, size.columns, 0, history),
        }
    }

    /// Shows a piece of output.
    pub fn show(&mut self, piece: &[u8]) {
        self.parser.process(piece);
    }

    /// The text on it.
    pub fn text(&self) -> String {
        let contents = self.parser.screen().contents();
        let lines: Vec<_> = contents.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// Whether the program wants pastes to be marked.
    pub fn takes_pastes(&self) -> bool {
        self.parser.screen().bracketed_paste()
    }

    /// The terminal's whole state, to draw and to compare with.
    pub fn state(&self) -> Vt {
        self.parser.screen().clone()
    }

    /// The text on it with colours (SGR) and nothing else, a line for each row
    /// down to the last that has something, or the cursor.
    pub fn coloured(&self) -> String {
        let screen = self.parser.screen();
        let text = screen.contents_formatted_basic();
        let mut rows: Vec<_> = basic_formatted_rows(&text, screen.size().1.get()).collect();
        let cursor = self.cursor().map_or(0, |(row, _)| usize::from(row) + 1);
        while rows.len() > cursor && rows.last().is_some_and(|row| is_blank(row)) {
            rows.pop();
        }
        rows.join("\n")
    }

    /// Where the cursor is, unless it is hidden.
    pub fn cursor(&self) -> Option<(u16, u16)> {
        let screen = self.parser.screen();
        (!screen.hide_cursor()).then(|| screen.cursor_position())
    }

    /// How many rows ever left the screen, and those of them after the first
    /// `seen` that are still kept, coloured.
    pub fn scrolled(&self, seen: u64) -> (u64, Vec<String>) {
        let history = self.parser.callbacks();
        let fresh = usize::try_from(history.count.saturating_sub(seen)).unwrap_or(usize::MAX);
        let skip = history.rows.len().saturating_sub(fresh);
        let rows = history.rows.iter().skip(skip).cloned();
        (history.count, rows.collect())
    }
}

/// Whether a row has nothing but colours.
fn is_blank(row: &str) -> bool {
    basic_formatted_to_plain(row).all(|plain| plain.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::{HISTORY, Screen, Size};

    fn screen() -> Screen {
        Screen::new(Size {
            rows: NonZeroU16::new(3).unwrap(),
            columns: NonZeroU16::new(20).unwrap(),
        })
    }

    #[test]
    fn rows_that_leave_are_kept_with_their_colours() {
        let mut screen = screen();
        screen.show(b"\x1b[31mred\x1b[0m\r\ntwo\r\nthree\r\nfour");
        assert_eq!(screen.text(), "two\nthree\nfour");
        let (count, rows) = screen.scrolled(0);
        assert_eq!(count, 1);
        assert!(
            rows[0].contains("red") && rows[0].contains("\x1b["),
            "{rows:?}"
        );
        assert_eq!(screen.scrolled(1), (1, vec![]));
        for _ in 0..2 * HISTORY {
            screen.show(b"\r\nmore");
        }
        assert_eq!(screen.scrolled(1).1.len(), HISTORY);
    }

    #[test]
    fn each_row_is_a_line_down_to_the_last_that_has_something() {
        let mut screen = screen();
        screen.show(b"0123456789012345678901\r\n");
        assert_eq!(screen.coloured(), "01234567890123456789\n01\n");
        screen.show(b"\x1b[?25l");
        assert_eq!(screen.coloured(), "01234567890123456789\n01");
    }

    /// Whatever the program puts out, nothing of ours may end by it.
    #[test]
    fn any_output_can_be_shown() {
        const PIECES: [&[u8]; 16] = [
            b"\x1b[",
            b"\x1b]",
            b"\x1bP",
            b"\x1b(",
            b";",
            b"0",
            b"99999999999",
            b"?1049h",
            b"H",
            b"r",
            b"L",
            b"\r\n",
            b"\x1b[?6h",
            b"\x84\xff",
            "\u{1f469}\u{200d}\u{301}".as_bytes(),
            b"\x1b\\",
        ];
        for size in ["1x1", "2x3", "20x3", "120x40"] {
            let mut screen = Screen::new(size.parse().unwrap());
            let mut seed: u64 = 7;
            for _ in 0..40_000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let [.., low, high] = seed.to_le_bytes();
                if low < 200 {
                    screen.show(PIECES[usize::from(high) % PIECES.len()]);
                } else {
                    screen.show(&[high]);
                }
                if seed.is_multiple_of(1000) {
                    screen.coloured();
                    screen.text();
                }
            }
            screen.scrolled(0);
        }
    }

    #[test]
    fn only_colours_are_left_of_what_is_shown() {
        let mut screen = screen();
        screen.show(b"\x1b]52;c;aGk=\x07<b>\x1b]8;;http://x\x07link\x1b]8;;\x07\x1b[6n\x1b[?2004h");
        assert_eq!(screen.text(), "<b>link");
        assert!(!screen.coloured().contains(['\x07', ']']));
        assert!(screen.takes_pastes());
    }
}
