//! Which bytes a request asks for (RFC 9110 §14).

use crate::serve::output_log::Extent;

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All that is kept: no Range, or one that is to be ignored.
    All,
    /// From the first to one after the last; never empty.
    Part(u64, u64),
    /// There are no such bytes.
    Nothing,
}

/// Reads a Range header. Several ranges are answered with everything, as the
/// RFC allows.
pub(super) fn wanted(range: &str, extent: Extent) -> Wanted {
    let Some((unit, set)) = range.split_once('=') else {
        return Wanted::All;
    };
    let Some((from, to)) = set.trim().split_once('-') else {
        return Wanted::All;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Wanted::All;
    }
    let part = match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => (from, to.saturating_add(1).min(extent.end)),
        (Some(from), None) if to.is_empty() => (from, extent.end),
        (None, Some(last)) if from.is_empty() => (
            extent.end.saturating_sub(last).max(extent.first),
            extent.end,
        ),
        _ => return Wanted::All,
    };
    if part.0 < extent.first || part.0 >= part.1 {
        return Wanted::Nothing;
    }
    Wanted::Part(part.0, part.1)
}

fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Extent, Wanted, wanted};

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let extent = Extent {
            end: 100,
            ..Extent::default()
        };
        for (range, expected) in [
            ("bytes=0-9", Wanted::Part(0, 10)),
            ("Bytes=5-5", Wanted::Part(5, 6)),
            ("bytes=90-", Wanted::Part(90, 100)),
            ("bytes=90-500", Wanted::Part(90, 100)),
            ("bytes=-10", Wanted::Part(90, 100)),
            ("bytes=-500", Wanted::Part(0, 100)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0, 100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=100-200", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=9-5", Wanted::All),
            ("bytes=0-1,5-6", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("items=0-1", Wanted::All),
            ("bytes", Wanted::All),
        ] {
            assert_eq!(wanted(range, extent), expected, "{range}");
        }
    }

    #[test]
    fn what_is_no_longer_kept_is_not_there() {
        let extent = Extent {
            first: 50,
            end: 100,
            ..Extent::default()
        };
        assert_eq!(wanted("bytes=49-60", extent), Wanted::Nothing);
        assert_eq!(wanted("bytes=50-60", extent), Wanted::Part(50, 61));
        assert_eq!(wanted("bytes=-80", extent), Wanted::Part(50, 100));
        assert_eq!(wanted("bytes=0-", Extent::default()), Wanted::Nothing);
    }
}
