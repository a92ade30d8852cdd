//! Range requests (RFC 9110 §14).

use crate::serve::output_log::Extent;

/// Which bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    /// All that are retained: there is no Range header, or one to be ignored.
    All,
    /// From the first offset to one after the last; never empty.
    Part(u64, u64),
    /// None: the range cannot be satisfied.
    Unsatisfiable,
}

/// The selection of a Range header. Several ranges select everything, as the
/// RFC allows.
pub(super) fn select(range: &str, extent: Extent) -> Selection {
    let Some((unit, set)) = range.split_once('=') else {
        return Selection::All;
    };
    let Some((from, to)) = set.trim().split_once('-') else {
        return Selection::All;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Selection::All;
    }
    let part = match (position(from), position(to)) {
        (Some(from), Some(to)) if from <= to => {
            let end = if to < extent.end { to + 1 } else { extent.end };
            (from, end)
        }
        (Some(from), None) if to.is_empty() => (from, extent.end),
        (None, Some(last)) if from.is_empty() => {
            let is_all = last >= extent.end - extent.first;
            let from = if is_all {
                extent.first
            } else {
                extent.end - last
            };
            (from, extent.end)
        }
        _ => return Selection::All,
    };
    if part.0 < extent.first || part.0 >= part.1 {
        return Selection::Unsatisfiable;
    }
    Selection::Part(part.0, part.1)
}

/// A position or a length of a range: one or more digits. A number that does
/// not fit is beyond the end of any log.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Extent, Selection, select};

    #[test]
    fn ranges_are_parsed_as_in_the_rfc() {
        let extent = Extent {
            end: 100,
            ..Extent::default()
        };
        for (range, expected) in [
            ("bytes=0-9", Selection::Part(0, 10)),
            ("Bytes=5-5", Selection::Part(5, 6)),
            ("bytes=90-", Selection::Part(90, 100)),
            ("bytes=90-500", Selection::Part(90, 100)),
            ("bytes=-10", Selection::Part(90, 100)),
            ("bytes=-500", Selection::Part(0, 100)),
            ("bytes=0-99999999999999999999999", Selection::Part(0, 100)),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=100-200", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=9-5", Selection::All),
            ("bytes=0-1,5-6", Selection::All),
            ("bytes=-", Selection::All),
            ("bytes=a-b", Selection::All),
            ("bytes=+1-2", Selection::All),
            ("items=0-1", Selection::All),
            ("bytes", Selection::All),
        ] {
            assert_eq!(select(range, extent), expected, "{range}");
        }
    }

    #[test]
    fn bytes_that_are_not_retained_cannot_be_selected() {
        let extent = Extent {
            first: 50,
            end: 100,
            ..Extent::default()
        };
        assert_eq!(select("bytes=49-60", extent), Selection::Unsatisfiable);
        assert_eq!(select("bytes=50-60", extent), Selection::Part(50, 61));
        assert_eq!(select("bytes=-80", extent), Selection::Part(50, 100));
        assert_eq!(
            select("bytes=0-", Extent::default()),
            Selection::Unsatisfiable
        );
    }
}
