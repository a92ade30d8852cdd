//! When the output of a run came: the lines of text that `/live/runs/RUN/times`
//! answers with, and that are stored beside the output.
//!
//! ```text
//! agent-times 1 67108864 1764331200000 120x40   version, offset of the next byte,
//!                                               milliseconds since 1970, size
//! 0 213                                         milliseconds after the line
//! 52 1080                                       before, and how many bytes came
//! 300 =100x30                                   then; or the size from then on
//! ```
//! The first line is of the first kind, and others of it follow where a segment of
//! the log begins. Bytes before such a line, or at the end, that no line counts
//! came with the line before: the agent was killed, or its disk was full.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::serve::screen::Size;

/// The first words of a line that begins a segment: what it is, and its version.
const SEGMENT: &str = "agent-times 1 ";

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A segment of the output begins.
    Segment {
        /// The offset of its first byte.
        offset: u64,
        /// When, in milliseconds since 1970.
        began: u64,
        /// The size of the terminal.
        size: Size,
    },
    /// Output came.
    Output {
        /// How long after the line before, in milliseconds.
        later: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// The terminal was given another size.
    Resized {
        /// How long after the line before, in milliseconds.
        later: u64,
        /// The size.
        size: Size,
    },
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment {
                offset,
                began,
                size,
            } => write!(f, "{SEGMENT}{offset} {began} {size}"),
            Self::Output { later, bytes } => write!(f, "{later} {bytes}"),
            Self::Resized { later, size } => write!(f, "{later} ={size}"),
        }
    }
}

/// A line is none of those, or of another version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this line does not say when output came, to this version of agent: {0:?}")]
pub struct LineError(String);

impl FromStr for Line {
    type Err = LineError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        parse(line).ok_or_else(|| LineError(line.chars().take(100).collect()))
    }
}

fn parse(line: &str) -> Option<Line> {
    if let Some(segment) = line.strip_prefix(SEGMENT) {
        let (offset, rest) = segment.split_once(' ')?;
        let (began, size) = rest.split_once(' ')?;
        return Some(Line::Segment {
            offset: offset.parse().ok()?,
            began: began.parse().ok()?,
            size: size.parse().ok()?,
        });
    }
    let (later, what) = line.split_once(' ')?;
    let later = later.parse().ok()?;
    Some(match what.strip_prefix('=') {
        Some(size) => Line::Resized {
            later,
            size: size.parse().ok()?,
        },
        None => Line::Output {
            later,
            bytes: what.parse().ok()?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn what_is_written_is_read() {
        for line in ["agent-times 1 0 1764331200000 120x40", "52 1080", "0 =1x1"] {
            assert_eq!(line.parse::<Line>().unwrap().to_string(), line);
        }
    }

    #[test]
    fn other_lines_and_versions_are_refused() {
        for line in [
            "",
            " ",
            "1",
            "1 ",
            "a 1",
            "1 -1",
            "1 =0x1",
            "1 =1",
            "agent-times 2 0 1 1x1",
            "agent-times 1 0 1",
            "1 18446744073709551616",
        ] {
            assert!(line.parse::<Line>().is_err(), "{line:?}");
        }
    }
}
