//! An asciicast, version 2: a line of JSON that describes the terminal, and then
//! one for each event (asciinema, `doc/asciicast-v2.md`).

use std::{
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

use crate::serve::screen::Size;

/// The first line.
#[derive(Debug, Serialize)]
struct Header<'a> {
    version: u8,
    width: u16,
    height: u16,
    /// Seconds since 1970.
    timestamp: u64,
    title: &'a str,
}

/// The code of an event.
#[derive(Debug, Clone, Copy, Serialize)]
enum Code {
    #[serde(rename = "o")]
    Output,
    #[serde(rename = "r")]
    Resize,
}

/// An asciicast that is being written.
#[derive(Debug)]
pub(super) struct Asciicast<W> {
    out: W,
    /// The beginning of a character whose rest is to come.
    cut: Vec<u8>,
}

impl<W: Write> Asciicast<W> {
    /// Begins one; `began` is in seconds since 1970.
    pub(super) fn begin(mut out: W, size: Size, began: u64, title: &str) -> io::Result<Self> {
        let header = Header {
            version: 2,
            width: size.columns.get(),
            height: size.rows.get(),
            timestamp: began,
            title,
        };
        line(&mut out, &header)?;
        let cut = Vec::new();
        Ok(Self { out, cut })
    }

    /// Output, so long after the beginning. What is not UTF-8 becomes U+FFFD.
    pub(super) fn output(&mut self, at: Duration, bytes: &[u8]) -> io::Result<()> {
        let text = self.text(bytes);
        if text.is_empty() {
            return Ok(());
        }
        self.event(at, Code::Output, &text)
    }

    /// The terminal has another size.
    pub(super) fn resized(&mut self, at: Duration, size: Size) -> io::Result<()> {
        self.event(at, Code::Resize, &size.to_string())
    }

    /// Ends it; returns what it was written to.
    pub(super) fn end(mut self, at: Duration) -> io::Result<W> {
        if !self.cut.is_empty() {
            self.event(at, Code::Output, "\u{FFFD}")?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn event(&mut self, at: Duration, code: Code, data: &str) -> io::Result<()> {
        line(&mut self.out, &(at.as_secs_f64(), code, data))
    }

    fn text(&mut self, bytes: &[u8]) -> String {
        self.cut.extend_from_slice(bytes);
        let (mut text, mut rest) = (String::new(), self.cut.as_slice());
        while let Err(error) = str::from_utf8(rest) {
            let (whole, after) = rest.split_at(error.valid_up_to());
            text += str::from_utf8(whole).expect("it is valid up to here");
            let Some(wrong) = error.error_len() else {
                self.cut = after.to_vec();
                return text;
            };
            text.push('\u{FFFD}');
            rest = &after[wrong..];
        }
        text += str::from_utf8(rest).expect("the loop ended");
        self.cut = Vec::new();
        text
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Asciicast;

    #[test]
    fn characters_that_are_cut_are_put_together_and_others_replaced() {
        let at = Duration::from_millis;
        let mut cast = Asciicast::begin(vec![], "80x24".parse().unwrap(), 7, "a").unwrap();
        cast.output(at(0), b"\xe4\xbd").unwrap();
        cast.output(at(1500), b"\xa0\x1b[0m\xff\"").unwrap();
        cast.resized(at(1600), "100x30".parse().unwrap()).unwrap();
        cast.output(at(1700), b"x\xe4").unwrap();
        let written = cast.end(at(1700)).unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            concat!(
                r#"{"version":2,"width":80,"height":24,"timestamp":7,"title":"a"}"#,
                "\n",
                r#"[1.5,"o","你\u001b[0m�\""]"#,
                "\n",
                r#"[1.6,"r","100x30"]"#,
                "\n",
                r#"[1.7,"o","x"]"#,
                "\n",
                r#"[1.7,"o","�"]"#,
                "\n"
            )
        );
    }
}
