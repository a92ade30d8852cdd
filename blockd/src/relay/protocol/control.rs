//! The greeting of a relay in the background, and the requests that a relay
//! answers on its control socket.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::CacheStatus;

/// The one line of JSON that a relay in the background writes to its standard
/// output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Greeting {
    /// It serves.
    Ready,
    /// It could not be started, for this reason.
    Failed(String),
}

/// A request: one line, sent to the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Read the whole disk into the local cache, in the background. A request
    /// to do so once more only reports how far it has come.
    Hydrate {
        /// Bytes of data that the cache may hold; `None`: what the relay's
        /// options say.
        cache_size: Option<u64>,
    },
}

const HYDRATE: &str = "hydrate";

/// Why a line is no request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a relay can be asked to {HYDRATE:?}, or to \"{HYDRATE} BYTES\"")]
pub(crate) struct UnknownRequest;

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Hydrate { cache_size } = self;
        f.write_str(HYDRATE)?;
        match cache_size {
            Some(bytes) => write!(f, " {bytes}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Request {
    type Err = UnknownRequest;

    fn from_str(line: &str) -> Result<Self, UnknownRequest> {
        let mut words = line.split_whitespace();
        let request = (words.next(), words.next(), words.next());
        let (Some(HYDRATE), bytes, None) = request else {
            return Err(UnknownRequest);
        };
        let cache_size = bytes.map(str::parse).transpose();
        Ok(Self::Hydrate {
            cache_size: cache_size.map_err(|_| UnknownRequest)?,
        })
    }
}

/// The answer to a request: one JSON document.
///
/// It has no format number: the last release without one accepts an object
/// with a single field only.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// How far the hydration has come.
    Cache(CacheStatus),
    /// Why the request is refused.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_back_as_they_were_written() {
        for cache_size in [None, Some(0), Some(u64::MAX)] {
            let request = Request::Hydrate { cache_size };
            assert_eq!(request.to_string().parse(), Ok(request));
        }
        assert_eq!(Request::Hydrate { cache_size: None }.to_string(), "hydrate");
        let limited = Request::Hydrate {
            cache_size: Some(7),
        };
        assert_eq!(limited.to_string(), "hydrate 7");
    }

    #[test]
    fn other_lines_are_no_requests() {
        let too_large = format!("hydrate {}0", u64::MAX);
        for line in [
            "",
            "dance",
            "hydrated",
            "hydrate7",
            "hydrate 7 8",
            "hydrate -1",
            "hydrate 4G",
            &too_large,
        ] {
            assert_eq!(line.parse::<Request>(), Err(UnknownRequest), "{line}");
        }
    }

    /// Captured from a relay of the last release that wrote its status without
    /// a format number.
    #[test]
    fn answers_of_the_release_before_are_read() {
        let hydrated = r#"{"cache":{"state":"hydrated","hits":0,"misses":0,"bytes":8388608,
            "hydrated":8388608,"of":8388608,"reason":null}}"#;
        let answer: Answer = serde_json::from_str(hydrated).unwrap();
        assert!(matches!(
            answer,
            Answer::Cache(CacheStatus { of: 8_388_608, .. })
        ));
        let refused = r#"{"refused":"this relay has no --cache"}"#;
        let answer: Answer = serde_json::from_str(refused).unwrap();
        assert!(matches!(&answer, Answer::Refused(reason) if reason.ends_with("--cache")));
        assert_eq!(serde_json::to_string(&answer).unwrap(), refused);
    }
}
