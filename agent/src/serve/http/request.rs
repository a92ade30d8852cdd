//! What a page asks for, beside the keys that it types.
//!
//! ```json
//! {"shown": 4096}
//! {"size": {"columns": 100, "rows": 30}}
//! ```

use std::{num::NonZeroU16, sync::Arc};

use serde::Deserialize;
use thiserror::Error;

use crate::serve::{screen::Size, session::Session};

/// The sizes that a page may ask for, in characters.
const COLUMNS: std::ops::RangeInclusive<u16> = 20..=500;
const ROWS: std::ops::RangeInclusive<u16> = 5..=200;

/// A request of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// It has drawn this many bytes since it is connected.
    Shown(u64),
    /// The person who types wants a terminal of this size.
    Size(Size),
}

/// A message is no request.
#[derive(Debug, Error)]
pub(super) enum RequestError {
    /// It has no such form.
    #[error("the page sends what this agent does not understand: reload it")]
    Malformed(#[from] serde_json::Error),
    /// Programs do not work on such a terminal.
    #[error("a terminal has 20 to 500 columns and 5 to 200 rows, not {columns}x{rows}")]
    Size {
        /// The columns that were asked for.
        columns: u16,
        /// The rows that were asked for.
        rows: u16,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Raw {
    Shown(u64),
    Size { columns: u16, rows: u16 },
}

impl Request {
    pub(super) fn parse(text: &str) -> Result<Self, RequestError> {
        let (columns, rows) = match serde_json::from_str(text)? {
            Raw::Shown(bytes) => return Ok(Self::Shown(bytes)),
            Raw::Size { columns, rows } => (columns, rows),
        };
        match (NonZeroU16::new(columns), NonZeroU16::new(rows)) {
            (Some(wide), Some(high)) if COLUMNS.contains(&columns) && ROWS.contains(&rows) => {
                Ok(Self::Size(Size {
                    columns: wide,
                    rows: high,
                }))
            }
            _ => Err(RequestError::Size { columns, rows }),
        }
    }
}

/// The size that a viewer has asked for, until it is dropped.
pub(super) struct OwnSize(Arc<Session>);

impl OwnSize {
    pub(super) fn ask(session: &Arc<Session>, size: Size) -> Self {
        session.resize(Some(size));
        Self(Arc::clone(session))
    }
}

impl Drop for OwnSize {
    fn drop(&mut self) {
        self.0.resize(None);
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn a_request_is_understood_or_refused_with_a_sentence() {
        let size = "100x30".parse().unwrap();
        let text = r#"{"size": {"columns": 100, "rows": 30}}"#;
        assert_eq!(Request::parse(text).unwrap(), Request::Size(size));
        let text = r#"{"shown": 7}"#;
        assert_eq!(Request::parse(text).unwrap(), Request::Shown(7));
        for (text, says) in [
            ("", "reload it"),
            ("keys", "reload it"),
            (r#"{"size": {"columns": 70000, "rows": 1}}"#, "reload it"),
            (r#"{"size": {"columns": 0, "rows": 30}}"#, "not 0x30"),
            (r#"{"size": {"columns": 80, "rows": 201}}"#, "not 80x201"),
        ] {
            let error = Request::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
