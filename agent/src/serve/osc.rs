//! Codex's own reports of what it is doing: OSC 7501, the Program Status
//! Protocol, picked out of its output.
//!
//! ```text
//! ESC ] 7501 ; state=blocked:app=codex:kind=permission ESC \
//! ```

use super::codex::interface::{
    BLOCKED, CLEAR, DONE, ERROR, IDLE, REPORT, REPORT_KIND, REPORT_STATE, WORKING,
};

/// The longest report, in bytes; what is longer is no report, and is not buffered.
const MAX_REPORT: usize = 256;

const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

/// What a program says it is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It waits for input.
    Idle,
    /// It works.
    Working,
    /// It finished a turn.
    Done,
    /// A turn failed.
    Error,
    /// It waits for an answer of this kind: `dialog` where it names none.
    Blocked(String),
    /// It withdraws its report: it ends, or it suspends itself.
    Clear,
}

impl Report {
    fn parse(body: &[u8]) -> Option<Self> {
        // A report is ASCII; what is not UTF-8 is none.
        let text = str::from_utf8(body.strip_prefix(REPORT)?).ok()?;
        let field = |name: &str| {
            let mut pairs = text.split(':').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then_some(value))
        };
        match field(REPORT_STATE)? {
            IDLE => Some(Self::Idle),
            WORKING => Some(Self::Working),
            DONE => Some(Self::Done),
            ERROR => Some(Self::Error),
            BLOCKED => Some(Self::Blocked(
                field(REPORT_KIND).unwrap_or("dialog").to_owned(),
            )),
            CLEAR => Some(Self::Clear),
            _ => None,
        }
    }
}

/// The state of the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Ground,
    Escape,
    Body,
    BodyEscape,
}

/// Finds reports in output that comes in pieces.
#[derive(Debug)]
pub struct Reports {
    at: At,
    body: Vec<u8>,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            at: At::Ground,
            body: Vec::new(),
        }
    }
}

impl Reports {
    /// The reports that this piece completes, in order.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<Report> {
        piece.iter().filter_map(|byte| self.step(*byte)).collect()
    }

    fn step(&mut self, byte: u8) -> Option<Report> {
        match (self.at, byte) {
            (At::Ground, ESC) => self.at = At::Escape,
            (At::Ground, _) | (At::Escape, ESC) => {}
            (At::Escape, b']') => {
                self.at = At::Body;
                self.body.clear();
            }
            (At::Escape, _) => self.at = At::Ground,
            (At::Body, BEL) | (At::BodyEscape, b'\\') => {
                self.at = At::Ground;
                return Report::parse(&self.body);
            }
            (At::Body, ESC) => self.at = At::BodyEscape,
            (At::Body, _) => self.hold(byte),
            (At::BodyEscape, _) => {
                self.at = At::Escape;
                return self.step(byte);
            }
        }
        None
    }

    /// Buffers what may become a report, and nothing else.
    fn hold(&mut self, byte: u8) {
        self.body.push(byte);
        let length = self.body.len();
        let starts_right = length > REPORT.len() || REPORT.starts_with(&self.body);
        if length > MAX_REPORT || !starts_right {
            self.body.clear();
            self.at = At::Ground;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_REPORT, Report, Reports};

    const ALL: &[u8] = b"text\x1b]7501;state=idle:app=codex\x1b\\more\x1b]0;title\x07\
        \x1b]7501;state=working:app=codex\x07\x1b]7501;state=blocked:app=codex:kind=permission\x1b\\\
        \x1b]7501;state=done\x07\x1b]7501;state=error\x07\x1b]7501;state=clear\x07";

    fn expected() -> Vec<Report> {
        vec![
            Report::Idle,
            Report::Working,
            Report::Blocked("permission".to_owned()),
            Report::Done,
            Report::Error,
            Report::Clear,
        ]
    }

    #[test]
    fn reports_are_found_however_the_output_is_cut() {
        for cut in 0..=ALL.len() {
            let mut reports = Reports::default();
            let mut found = reports.feed(&ALL[..cut]);
            found.extend(reports.feed(&ALL[cut..]));
            assert_eq!(found, expected(), "cut at {cut}");
        }
    }

    #[test]
    fn other_sequences_are_no_reports() {
        let long = vec![b'x'; 2 * MAX_REPORT];
        for body in [
            &b"7501;"[..],
            b"7501;state=what",
            b"75011;state=idle",
            b"8;;",
            &long,
        ] {
            let mut reports = Reports::default();
            let text = [b"\x1b]", body, b"\x07"].concat();
            assert_eq!(reports.feed(&text), []);
            assert_eq!(reports.feed(b"\x1b]7501;state=idle\x07"), [Report::Idle]);
        }
    }

    #[test]
    fn an_endless_report_costs_no_memory() {
        let mut reports = Reports::default();
        reports.feed(b"\x1b]7501;");
        reports.feed(&vec![b'x'; 1 << 20]);
        assert!(reports.body.capacity() <= 2 * MAX_REPORT);
    }
}
