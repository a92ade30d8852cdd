//! A virtual terminal: what the output looks like on a screen.

use std::{collections::VecDeque, fmt, num::NonZeroU16, str::FromStr};

use thiserror::Error;

use vt100::{
    Callbacks, Parser, Screen as Vt,
    capture::{
        BasicFormattedCaptureState, RowContents, basic_formatted_rows, basic_formatted_to_plain,
    },
};

/// How many rows that scrolled off the screen are retained.
const HISTORY: usize = 2000;

/// The size of a terminal, in characters; written as `COLUMNSxROWS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How many lines it has.
    pub rows: NonZeroU16,
    /// How many columns it has.
    pub columns: NonZeroU16,
}

/// The response header of `/terminal` with the terminal's [`Size`].
pub const SIZE: &str = "agent-terminal-size";

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.columns, self.rows)
    }
}

/// A text is not the [`Size`] of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected COLUMNSxROWS, like 120x40")]
pub struct SizeError;

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (columns, rows) = text.split_once('x').ok_or(SizeError)?;
        Ok(Self {
            rows: rows.parse().map_err(|_| SizeError)?,
            columns: columns.parse().map_err(|_| SizeError)?,
        })
    }
}

/// Rows that scrolled off the screen, as text with colours (SGR) and nothing else.
#[derive(Default)]
struct History {
    rows: VecDeque<String>,
    /// How many are no longer retained.
    dropped: u64,
    /// How many there ever were.
    count: u64,
    /// The title that the program has given the window, without control characters.
    title: String,
    /// Whether a synchronized update has begun and not ended.
    updating: bool,
    /// How many have ended.
    updates: u64,
}

/// The mode that is set during a synchronized update.
const SYNCHRONIZED: &[u16] = &[2026];

/// How long a title may be, in bytes; what is longer is cut.
const MAX_TITLE: usize = 256;

impl Callbacks for History {
    fn on_scroll(&mut self, contents: RowContents<'_>, alternate_screen: bool) {
        if alternate_screen {
            return;
        }
        let mut row = String::new();
        let mut state = BasicFormattedCaptureState::new();
        let written = contents.write_formatted_basic(&mut row, &mut state);
        written.expect("a String accepts every write");
        if self.rows.len() == HISTORY {
            self.rows.pop_front();
            self.dropped += 1;
        }
        self.rows.push_back(row);
        self.count += 1;
    }

    fn unhandled_csi(
        &mut self,
        _: &mut Vt,
        first: Option<u8>,
        _: Option<u8>,
        parameters: &[&[u16]],
        last: char,
    ) {
        if first == Some(b'?') && parameters.contains(&SYNCHRONIZED) {
            match last {
                'h' => self.updating = true,
                'l' => {
                    self.updating = false;
                    self.updates += 1;
                }
                _ => {}
            }
        }
    }

    fn set_window_title(&mut self, _: &mut Vt, title: &[u8]) {
        let title = &title[..title.len().min(MAX_TITLE)];
        self.title = String::from_utf8_lossy(title).replace(
            |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER,
            "",
        );
    }
}

/// A virtual terminal.
pub struct Screen {
    parser: Parser<History>,
}

impl fmt::Debug for Screen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Screen").finish_non_exhaustive()
    }
}

impl Screen {
    /// An empty screen.
    pub fn new(size: Size) -> Self {
        let history = History::default();
        Self {
            parser: Parser::new_with_callbacks(size.rows, size.columns, 0, history),
        }
    }

    /// Processes a piece of output.
    pub fn show(&mut self, piece: &[u8]) {
        self.parser.process(piece);
    }

    /// The text on the screen, without trailing white space.
    pub fn text(&self) -> String {
        let contents = self.parser.screen().contents();
        let lines: Vec<_> = contents.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// Whether the program has enabled bracketed paste.
    pub fn takes_pastes(&self) -> bool {
        self.parser.screen().bracketed_paste()
    }

    /// The terminal, to look at its cells.
    pub fn terminal(&self) -> &Vt {
        self.parser.screen()
    }

    /// Whether it shows a whole picture: the program is not in the middle of a
    /// synchronized update (`CSI ? 2026 h … l`).
    pub fn is_whole(&self) -> bool {
        !self.parser.callbacks().updating
    }

    /// How many synchronized updates have ended.
    pub fn updates(&self) -> u64 {
        self.parser.callbacks().updates
    }

    /// The whole state of the terminal, to draw it or to compare with it.
    pub fn state(&self) -> Vt {
        self.parser.screen().clone()
    }

    /// The text on the screen with colours (SGR) and no other sequences, one line
    /// for each row down to the last that is not blank or has the cursor.
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

    /// The row and column of the cursor, from 0, unless it is hidden.
    pub fn cursor(&self) -> Option<(u16, u16)> {
        let screen = self.parser.screen();
        (!screen.hide_cursor()).then(|| screen.cursor_position())
    }

    /// The title that the program has given the window; empty without one.
    pub fn title(&self) -> &str {
        &self.parser.callbacks().title
    }

    /// Its size.
    pub fn size(&self) -> Size {
        let (rows, columns) = self.parser.screen().size();
        Size { rows, columns }
    }

    /// Whether the program uses the alternate screen.
    pub fn is_alternate(&self) -> bool {
        self.parser.screen().alternate_screen()
    }

    /// Changes the size. What does not fit is cut; rows that are added are blank, and
    /// below the others.
    pub fn resize(&mut self, size: Size) {
        let (before, _) = self.parser.screen().cursor_position();
        self.parser.set_size(size.rows, size.columns);
        let (row, column) = self.parser.screen().cursor_position();
        // vt100 adds them above, in place of those that it has not retained.
        if let Some(added @ 1..) = row.checked_sub(before) {
            let (row, column) = (u32::from(before) + 1, u32::from(column) + 1);
            let moved = format!("\x1b[H\x1b[{added}M\x1b[{row};{column}H");
            self.parser.process(moved.as_bytes());
        }
    }

    /// How many rows ever scrolled off the screen, and those of them after the
    /// first `seen` that are retained, as in [`coloured`](Self::coloured).
    pub fn scrolled(&self, seen: u64) -> (u64, Vec<String>) {
        let history = self.parser.callbacks();
        let numbered = (history.dropped..).zip(&history.rows);
        let unseen = numbered.skip_while(|(number, _)| *number < seen);
        let rows = unseen.map(|(_, row)| row.clone());
        (history.count, rows.collect())
    }
}

/// Whether a row has nothing but colours and white space.
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
    fn rows_that_scroll_off_are_retained_with_their_colours() {
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
    fn each_row_is_a_line_down_to_the_last_that_is_not_blank() {
        let mut screen = screen();
        screen.show(b"0123456789012345678901\r\n");
        assert_eq!(screen.coloured(), "01234567890123456789\n01\n");
        screen.show(b"\x1b[?25l");
        assert_eq!(screen.coloured(), "01234567890123456789\n01");
    }

    #[test]
    fn a_screen_of_another_size_retains_what_fits() {
        let mut screen = screen();
        screen.show(b"one\r\ntwo\r\nthree\r\nfour");
        screen.resize("20x6".parse().unwrap());
        assert_eq!(screen.text(), "two\nthree\nfour");
        assert_eq!(screen.cursor(), Some((2, 4)));
        screen.resize("3x2".parse().unwrap());
        assert_eq!(screen.text(), "thr\nfou");
        assert_eq!(screen.size(), "3x2".parse().unwrap());
        screen.show(b"\x1b]2;a title\x07");
        assert_eq!(screen.title(), "a title");
    }

    #[test]
    fn a_synchronized_update_is_whole_when_it_ends() {
        let mut screen = screen();
        assert!(screen.is_whole());
        for (output, is_whole, updates) in [
            (&b"\x1b[?2026hone"[..], false, 0),
            (b"two\x1b[?20", false, 0),
            (b"26l", true, 1),
            (b"\x1b[?2026h\x1b[?25h\x1b[?2026l\x1b[2026h", true, 2),
        ] {
            screen.show(output);
            assert_eq!((screen.is_whole(), screen.updates()), (is_whole, updates));
        }
    }

    /// No output may make the parser panic.
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
                if seed.is_multiple_of(500) {
                    let sizes = ["1x1", "7x3", "120x50", size];
                    screen.resize(sizes[usize::from(low) % 4].parse().unwrap());
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
    fn only_colours_are_left_of_escape_sequences() {
        let mut screen = screen();
        screen.show(b"\x1b]52;c;aGk=\x07<b>\x1b]8;;http://x\x07link\x1b]8;;\x07\x1b[6n\x1b[?2004h");
        assert_eq!(screen.text(), "<b>link");
        assert!(!screen.coloured().contains(['\x07', ']']));
        assert!(screen.takes_pastes());
    }
}
