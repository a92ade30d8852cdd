//! The local window, which may differ in size from codex's terminal.

use crate::{
    serve::screen::{Screen, Size},
    terminal_output::{Filter, Policy},
};

/// Codex's terminal, and the local window that shows it.
pub(super) struct Window {
    terminal: Size,
    /// What the server sends goes through it, if it is not to be shown as it is.
    filter: Option<Filter>,
    /// What the terminal shows, to be drawn again.
    screen: Screen,
    local: Option<Size>,
    /// Whether the window was checked for another size since it changed.
    is_checked: bool,
    /// Whether a row of the window shows a notice that the size differs.
    has_notice: bool,
}

impl Window {
    pub(super) fn new(terminal: Size, local: Option<Size>, raw: bool) -> Self {
        Self {
            terminal,
            filter: (!raw).then(|| Filter::new(Policy::READER)),
            screen: Screen::new(terminal),
            local,
            is_checked: false,
            has_notice: false,
        }
    }

    /// The bytes that show what the server has drawn.
    pub(super) fn show(&mut self, drawn: &[u8]) -> Vec<u8> {
        let mut bytes = match &mut self.filter {
            Some(filter) => filter.push(drawn),
            None => drawn.to_vec(),
        };
        self.screen.show(&bytes);
        if !self.is_checked {
            bytes.extend(self.notice());
        }
        bytes
    }

    /// The bytes that draw everything again, after the size of the window changed.
    pub(super) fn resized(&mut self, local: Option<Size>) -> Vec<u8> {
        self.local = local;
        let mut bytes = self.redraw();
        bytes.extend(self.notice());
        bytes
    }

    /// The bytes that remove a notice: a person who types has read it.
    pub(super) fn typed(&mut self) -> Vec<u8> {
        if self.has_notice {
            return self.redraw();
        }
        Vec::new()
    }

    fn redraw(&mut self) -> Vec<u8> {
        self.has_notice = false;
        self.screen.state().contents_formatted().into_bytes()
    }

    /// The bytes that show a notice if the size differs: in the title, and in the
    /// first row below codex's terminal, or in the last of a smaller window.
    fn notice(&mut self) -> Vec<u8> {
        self.is_checked = true;
        let Some((local, text)) = self
            .local
            .and_then(|local| Some((local, misfit(self.terminal, local)?)))
        else {
            return Vec::new();
        };
        self.has_notice = true;
        let below = self.terminal.rows.checked_add(1);
        let row = below.map_or(local.rows, |below| below.min(local.rows));
        let shown: String = text.chars().take(local.columns.get().into()).collect();
        let mut bytes = titled(&text);
        bytes.extend(format!("\x1b7\x1b[{row};1H\x1b[0;7m{shown}\x1b[0m\x1b8").into_bytes());
        bytes
    }
}

/// What a window of this size means for what is shown; none if it fits.
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
    fn a_window_that_does_not_fit_gets_a_notice() {
        for (local, means) in [
            ("120x40", None),
            ("119x40", Some("cut")),
            ("200x39", Some("cut")),
            ("121x40", Some("empty")),
        ] {
            let notice = misfit(size("120x40"), size(local));
            match (&notice, means) {
                (Some(notice), Some(means)) => assert!(notice.contains(means), "{notice}"),
                _ => assert_eq!(notice.as_deref(), means, "{local}"),
            }
        }
    }

    #[test]
    fn the_notice_has_notice_once_and_again_when_the_size_changes() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let mut window = Window::new(size("20x4"), Some(size("10x4")), false);
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
