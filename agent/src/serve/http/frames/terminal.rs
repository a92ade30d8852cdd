//! What is sent to `agent terminal`: what is to be drawn, at the size that it was told
//! when it connected.

use std::fmt::Write;

use axum::extract::ws::Message;
use vt100::Screen as Vt;

use crate::serve::{screen::Size, session::Run};

/// What one terminal has got.
pub(in crate::serve::http) struct Terminal {
    told: Size,
    /// The screen as it was last drawn.
    shown: Option<Vt>,
    /// Whether the last frame was taken.
    is_sent: bool,
}

impl Terminal {
    pub(super) fn new(told: Size) -> Self {
        Self {
            told,
            shown: None,
            is_sent: false,
        }
    }

    /// Begins anew, with another run.
    pub(super) fn restart(&mut self) {
        self.shown = None;
    }

    /// The next frame; none after each.
    pub(super) fn next(&mut self, run: Option<&Run>) -> Option<Message> {
        self.is_sent = !self.is_sent;
        if !self.is_sent {
            return None;
        }
        let Some(run) = run else {
            return Some(Message::Binary("\x1b[2J\x1b[Hnothing runs yet\r\n".into()));
        };
        let now = run.screen().state();
        let size = (self.told.rows, self.told.columns);
        let drawn = match &self.shown {
            _ if now.size() != size => cut(&now, self.told),
            Some(before) if before.size() == size => now.contents_diff(before),
            _ => now.contents_formatted(),
        };
        self.shown = Some(now);
        Some(Message::Binary(drawn.into()))
    }
}

/// What fits of a screen of another size.
fn cut(screen: &Vt, told: Size) -> String {
    let mut drawn = "\x1b[?25l".to_owned();
    let rows = screen.rows_formatted(0, told.columns.get());
    for (row, text) in (1..=told.rows.get()).zip(rows) {
        write!(drawn, "\x1b[{row};1H\x1b[m\x1b[K{text}").expect("a String accepts every write");
    }
    let (row, column) = screen.cursor_position();
    drawn += "\x1b[m\x1b[J";
    if !screen.hide_cursor() && row < told.rows.get() && column < told.columns.get() {
        let (row, column) = (u32::from(row) + 1, u32::from(column) + 1);
        write!(drawn, "\x1b[{row};{column}H\x1b[?25h").expect("a String accepts every write");
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::cut;
    use crate::serve::screen::Screen;

    #[test]
    fn what_fits_of_a_larger_screen_is_shown() {
        let mut screen = Screen::new("30x6".parse().unwrap());
        screen.show(b"0123456789abcdef\r\n\x1b[31mtwo\r\n\n\n\nsix\x1b[H");
        let told = "10x3".parse().unwrap();
        let mut small = Screen::new(told);
        small.show(b"what was\r\nthere\r\nbefore\x1b[5;5Hx");
        small.show(cut(&screen.state(), told).as_bytes());
        assert_eq!(small.text(), "0123456789\ntwo");
        assert_eq!(small.cursor(), Some((0, 0)));
    }
}
