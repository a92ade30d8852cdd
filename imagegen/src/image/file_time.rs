//! The time of the files of an image.

use std::{fmt, str::FromStr, time::SystemTime};

use crate::{Error, Kind, ext4::Time};

/// When the files of an image were last modified, in nanoseconds since 1970.
/// Written as seconds, with a fraction if there is one: `1700000000.25`.
///
/// Their status (`st_ctime`) was last changed two seconds earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime {
    seconds: u32,
    nanoseconds: u32,
}

/// The difference between `st_mtime` and `st_ctime` of every file in seconds.
///
/// An entry of git's index is taken for unchanged, whatever is in the file, if
/// size and both times are the ones that it records, in whole seconds. To write
/// to a file makes both times the same second, and so it never has the two that
/// are recorded: an edit is seen whenever it is made, whatever the clocks of
/// server and client say.
const CHANGED_BEFORE: u32 = 2;

/// The modification time of the index is later than that of the files in it by
/// so many seconds, so that git does not compare their content (git,
/// `Documentation/technical/racy-git.adoc`).
const INDEX_DELAY: u32 = 1;

impl FileTime {
    /// The first one: from it on, all times that derive from one are positive.
    /// To git's index 0 is an unknown time.
    pub const MIN: Self = Self::new(1 + CHANGED_BEFORE, 0);
    /// The last one: all times that derive from one fit the 32 bits of git's
    /// index.
    pub const MAX: Self = Self::new(u32::MAX - INDEX_DELAY, 0);
    /// 1980-01-02 00:00:00 UTC, which is in 1980 in every time zone. Archives in
    /// the ZIP format, such as Python's wheels, hold no time before 1980.
    pub const FIRST_OF_ZIP: Self = Self::new(315_619_200, 0);

    const fn new(seconds: u32, nanoseconds: u32) -> Self {
        Self {
            seconds,
            nanoseconds,
        }
    }

    /// This many whole seconds after 1970, at least [`FileTime::MIN`] and at
    /// most [`FileTime::MAX`].
    pub fn clamped(seconds: i64) -> Self {
        let seconds = seconds.clamp(Self::MIN.seconds.into(), Self::MAX.seconds.into());
        Self::new(crate::numbers::exact(seconds), 0)
    }

    /// A point in time, with the limits of [`FileTime::clamped`].
    pub fn at(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(passed) => Self::clamped(i64::try_from(passed.as_secs()).unwrap_or(i64::MAX)),
            // Before 1970.
            Err(_) => Self::MIN,
        }
    }

    /// The whole seconds.
    pub const fn seconds(self) -> u32 {
        self.seconds
    }

    /// `st_ctime` of a file whose `st_mtime` this is.
    pub(crate) const fn changed(self) -> Self {
        Self::new(self.seconds - CHANGED_BEFORE, self.nanoseconds)
    }

    /// `st_mtime` of the index of files whose `st_mtime` this is.
    pub(super) const fn of_index(self) -> Self {
        Self::new(self.seconds + INDEX_DELAY, self.nanoseconds)
    }

    /// Seconds and nanoseconds, as the index has them.
    pub(super) const fn parts(self) -> [u32; 2] {
        [self.seconds, self.nanoseconds]
    }
}

impl From<FileTime> for Time {
    fn from(time: FileTime) -> Self {
        Self {
            seconds: time.seconds.into(),
            nanoseconds: time.nanoseconds,
        }
    }
}

impl fmt::Display for FileTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match format!("{:09}", self.nanoseconds).trim_end_matches('0') {
            "" => Ok(()),
            fraction => write!(f, ".{fraction}"),
        }
    }
}

impl FromStr for FileTime {
    type Err = Error;

    /// Parses what `Display` writes, with any fraction of at most nine digits.
    /// Anything else, and a time that is out of range, is [`Kind::Invalid`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let (seconds, fraction) = match text.split_once('.') {
            Some((seconds, fraction)) => (seconds, Some(fraction)),
            None => (text, None),
        };
        let time = number(seconds, 10).and_then(|seconds| {
            let nanoseconds = match fraction {
                Some(fraction) => number(&format!("{fraction:0<9}"), 9)?,
                None => 0,
            };
            Some(Self::new(seconds, nanoseconds))
        });
        let in_range = |time: &Self| (Self::MIN..=Self::MAX).contains(time);
        let parsed = time.filter(in_range).filter(|_| fraction != Some(""));
        parsed.ok_or_else(|| {
            let (first, last) = (Self::MIN, Self::MAX);
            let message = format!("{text:?} is no number of seconds from {first} to {last}");
            Error::new(Kind::Invalid, message)
        })
    }
}

/// A number of at most `digits` digits, and nothing else.
fn number(text: &str, digits: usize) -> Option<u32> {
    let plain = text.len() <= digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_parsed_as_it_is_written() {
        for text in [
            "3",
            "1700000000",
            "1700000000.25",
            "4294967294",
            "5.000000001",
        ] {
            assert_eq!(text.parse::<FileTime>().unwrap().to_string(), text);
        }
        let long: FileTime = "7.250".parse().unwrap();
        assert_eq!(long.to_string(), "7.25");
        for bad in [
            "",
            "2",
            "-1",
            "+5",
            "5.",
            ".5",
            "5.0000000001",
            "4294967295",
            "x",
            "1e9",
        ] {
            let error = bad.parse::<FileTime>().unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{bad}");
        }
    }

    #[test]
    fn commits_of_any_date_have_a_time() {
        assert_eq!(FileTime::clamped(i64::MIN), FileTime::MIN);
        assert_eq!(FileTime::clamped(i64::MAX), FileTime::MAX);
        assert_eq!(FileTime::clamped(1_700_000_000).to_string(), "1700000000");
    }

    /// git compares whole seconds. A write makes both times of a file the same.
    #[test]
    fn no_write_leaves_both_times_as_the_index_has_them() {
        for time in [
            FileTime::MIN,
            FileTime::clamped(1_700_000_000),
            FileTime::MAX,
        ] {
            assert_ne!(time.changed().seconds(), time.seconds());
            assert!(time.of_index() > time, "git would read every file");
        }
    }
}
