//! The border between this program and the terminal of a person: whatever a server
//! or a repository has put into a text, it is shown and not obeyed.
//!
//! JSON has escapes of its own, and goes out as it is.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Stderr, Write},
};

use blockd_nbd::printable;
use tracing_subscriber::fmt::MakeWriter;

/// The text of a report: each of its lines without control characters. What a line
/// quotes of others must be [`printable`] before, or it could begin a line of its own.
pub fn lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// A text of JSON, with the escapes of JSON in place of what [`printable`] escapes:
/// such characters stand in its strings only.
pub fn json(text: &str) -> Cow<'_, str> {
    if let Cow::Borrowed(plain) = printable(text) {
        return Cow::Borrowed(plain);
    }
    let mut shown = String::with_capacity(text.len());
    for each in text.chars() {
        let mut bytes = [0; 4];
        match printable(each.encode_utf8(&mut bytes)) {
            Cow::Borrowed(plain) => shown.push_str(plain),
            // They have 16 bits at most.
            Cow::Owned(_) => shown.extend(format!("\\u{:04x}", u32::from(each)).chars()),
        }
    }
    Cow::Owned(shown)
}

/// Standard error for the lines of the log, of which each event is one. The colours
/// of the log itself stay, on a terminal; tracing escapes those in its values.
#[derive(Clone, Copy, Debug)]
pub struct PlainLog;

impl<'a> MakeWriter<'a> for PlainLog {
    type Writer = PlainWriter<Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        let out = io::stderr();
        PlainWriter {
            has_colours: out.is_terminal(),
            out,
        }
    }
}

/// The same for lines that are JSON.
#[derive(Clone, Copy, Debug)]
pub struct PlainJson;

impl<'a> MakeWriter<'a> for PlainJson {
    type Writer = PlainJsonWriter<Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        PlainJsonWriter(io::stderr())
    }
}

/// Writes one line of JSON at a time.
#[derive(Debug)]
pub struct PlainJsonWriter<W>(W);

impl<W: Write> Write for PlainJsonWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = json(text.trim_end_matches('\n'));
        self.0.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes one line at a time.
#[derive(Debug)]
pub struct PlainWriter<W> {
    out: W,
    has_colours: bool,
}

impl<W: Write> Write for PlainWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (text, end) = text
            .strip_suffix('\n')
            .map_or((text.as_ref(), ""), |line| (line, "\n"));
        let mut line = String::new();
        let mut rest = text;
        while let Some((before, colour)) = next_colour(rest).filter(|_| self.has_colours) {
            let (plain, after) = rest.split_at(before);
            line.push_str(&printable(plain));
            let (colour, after) = after.split_at(colour);
            line.push_str(colour);
            rest = after;
        }
        line.push_str(&printable(rest));
        line.push_str(end);
        self.out.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Where the next colour begins (`ESC [ digits and semicolons m`), and its length.
fn next_colour(text: &str) -> Option<(usize, usize)> {
    const BEGIN: &str = "\x1b[";
    text.match_indices(BEGIN).find_map(|(at, _)| {
        let parameters = text.get(at..)?.strip_prefix(BEGIN)?;
        let end = parameters.find(|each: char| !each.is_ascii_digit() && each != ';')?;
        parameters
            .get(end..)?
            .starts_with('m')
            .then_some((at, BEGIN.len() + end + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &str, has_colours: bool) -> String {
        let mut writer = PlainWriter {
            out: Vec::new(),
            has_colours,
        };
        writer.write_all(event.as_bytes()).unwrap();
        String::from_utf8(writer.out).unwrap()
    }

    #[test]
    fn a_report_keeps_its_lines_and_nothing_else() {
        assert_eq!(lines("a\n  b\x1b]0;x\x07\r"), "a\n  b\\u{1b}]0;x\\u{7}\\r");
    }

    #[test]
    fn json_is_the_same_json() {
        let text = "{\"a\":\"ä\u{9b}\u{202e}\u{7f}\"}";
        assert_eq!(json(text), r#"{"a":"ä\u009b\u202e\u007f"}"#);
        assert_eq!(json("{}"), "{}");
    }

    #[test]
    fn an_event_is_one_line() {
        assert_eq!(written("a\nINFO b\x08\n", false), "a\\nINFO b\\u{8}\n");
        assert_eq!(written("\x1b[32mx\n", false), "\\u{1b}[32mx\n");
    }

    #[test]
    fn colours_of_the_log_stay_and_other_sequences_do_not() {
        let event = "\x1b[2mtime\x1b[0m \x1b[1;31mERROR\x1b[0m \x1b]2;owned\x07\x1b[2J\n";
        let shown = "\x1b[2mtime\x1b[0m \x1b[1;31mERROR\x1b[0m \\u{1b}]2;owned\\u{7}\\u{1b}[2J\n";
        assert_eq!(written(event, true), shown);
    }
}
