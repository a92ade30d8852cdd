//! The local window beside codex's terminal, whose size never changes.

use crate::serve::screen::{Screen, Size};

/// What is known of codex's terminal and of the window it is shown in.
pub(super) struct Window {
    terminal: Size,
    /// What it shows, to be drawn again.
    screen: Screen,
    local: Option<Size>,
    /// Whether the person was told of a window that is too small or too large.
    is_told: bool,
    /// Whether that stands in a row of the window.
    is_shown: bool,
}

impl Window {
    pub(super) fn new(terminal: Size, local: Option<Size>) -> Self {
        Self {
            terminal,
            screen: Screen::new(terminal),
            local,
            is_told: false,
            is_shown: false,
        }
    }

    /// Shows what the server has drawn.
    pub(super) fn show(&mut self, drawn: &[u8]) -> Vec<u8> {
        self.screen.show(drawn);
        let mut bytes = drawn.to_vec();
        if !self.is_told {
            bytes.extend(self.tell());
        }
        bytes
    }

    /// The window has another size: all is drawn again.
    pub(super) fn resized(&mut self, local: Option<Size>) -> Vec<u8> {
        self.local = local;
        let mut bytes = self.again();
        bytes.extend(self.tell());
        bytes
    }

    /// A person who types has read what there was to read.
    pub(super) fn typed(&mut self) -> Vec<u8> {
        if self.is_shown {
            return self.again();
        }
        Vec::new()
    }

    fn again(&mut self) -> Vec<u8> {
        self.is_shown = false;
        self.screen.state().contents_formatted().into_bytes()
    }

    /// Tells of a size that differs: in the title, and in a row that codex
    /// leaves free, or else in the last, where something is cut anyhow.
    fn tell(&mut self) -> Vec<u8> {
        self.is_told = true;
        let Some((local, text)) = self
            .local
            .and_then(|local| Some((local, misfit(self.terminal, local)?)))
        else {
            return Vec::new();
        };
        self.is_shown = true;
        let row = local.rows.min(self.terminal.rows.saturating_add(1));
        let shown: String = text.chars().take(local.columns.get().into()).collect();
        let mut bytes = titled(&text);
        bytes.extend(format!("\x1b7\x1b[{row};1H\x1b[0;7m{shown}\x1b[0m\x1b8").into_bytes());
        bytes
    }
}

/// What a person should know of a window of this size.
fn misfit(terminal: Size, local: Size) -> Option<String> {
    let is_cut = local.rows < terminal.rows || local.columns < terminal.columns;
    let means = match () {
        () if local == terminal => return None,
        () if is_cut => "what does not fit is cut",
        () => "the rest stays empty",
    };
    Some(format!(
        "codex's terminal is {terminal}, this window {local}: {means}"
    ))
}

/// A notice in the title of the window, and a bell: the screen is codex's.
pub(super) fn titled(notice: &str) -> Vec<u8> {
    let text: String = notice.chars().filter(|c| !c.is_control()).collect();
    format!("\x1b]2;agent: {text}\x07\x07").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{Size, Window, misfit, titled};

    fn size(text: &str) -> Size {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_that_does_not_fit_is_told_of() {
        for (local, means) in [
            ("120x40", None),
            ("119x40", Some("cut")),
            ("200x39", Some("cut")),
            ("121x40", Some("empty")),
        ] {
            let told = misfit(size("120x40"), size(local));
            assert_eq!(told.is_some(), means.is_some(), "{local}");
            let told = told.unwrap_or_default();
            assert!(told.contains(means.unwrap_or_default()), "{told}");
        }
    }

    #[test]
    fn it_is_told_once_and_again_when_it_changes() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let mut window = Window::new(size("20x4"), Some(size("10x4")));
        let first = text(window.show(b"hello"));
        assert!(first.starts_with("hello\x1b]2;agent: codex's terminal is 20x4"));
        assert!(
            first.contains("\x1b[4;1H\x1b[0;7mcodex's te\x1b"),
            "{first}"
        );
        assert_eq!(text(window.show(b" you")), " you");
        // The row that was written over comes back with the first key.
        assert!(text(window.typed()).contains("hello you"));
        assert_eq!(window.typed(), b"");
        let larger = text(window.resized(Some(size("30x9"))));
        assert!(larger.contains("hello you") && larger.contains("\x1b[5;1H"));
        let fits = text(window.resized(Some(size("20x4"))));
        assert!(!fits.contains("this window"), "{fits}");
    }

    #[test]
    fn a_notice_cannot_act() {
        assert_eq!(titled("a\x07\x1b]0;b"), b"\x1b]2;agent: a]0;b\x07\x07");
    }
}
