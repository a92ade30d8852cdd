//! Sizes and times, as people write and read them.
//!
//! Not by the crates `bytesize` and `humantime`: the first takes `4G` for
//! 4·10⁹ bytes, the second refuses a time without a unit and accepts years,
//! and both print in another way; these texts are in scripts, export names and
//! canonical names.

use std::time::Duration;

/// Bytes, with an optional binary suffix: `4096`, `512M`, `10GiB`. `None` for
/// another text, and for more than `u64::MAX`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, suffix) = split_number(text);
    let shift = match suffix.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// `30s`, `500ms`, `2m`, or plain seconds: 1 ms to 1 day.
///
/// # Errors
///
/// What is expected instead.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time like 30s, 500ms or 2m".to_owned();
    let (number, unit) = split_number(text);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let time = match unit {
        "ms" => Duration::from_millis(number),
        "" | "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60).ok_or_else(wrong)?),
        _ => return Err(wrong()),
    };
    if (Duration::from_millis(1)..=Duration::from_secs(24 * 3600)).contains(&time) {
        Ok(time)
    } else {
        Err("expected a time of 1 ms to 1 day".to_owned())
    }
}

/// `30m`, `12h` or `7d`: 1 minute to 366 days.
///
/// # Errors
///
/// What is expected instead.
pub(crate) fn parse_lifetime(text: &str) -> Result<Duration, String> {
    const LONGEST: u64 = 366 * 24 * 3600;
    let wrong = || "expected a time like 30m, 12h or 7d, of 1 minute to 366 days".to_owned();
    let (number, unit) = split_number(text);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let seconds = number
        .checked_mul(seconds)
        .filter(|time| (60..=LONGEST).contains(time));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

/// The digits at the front, and the rest.
fn split_number(text: &str) -> (&str, &str) {
    let is_unit = |c: char| !c.is_ascii_digit();
    match text.find(is_unit) {
        Some(digits) => text.split_at(digits),
        None => (text, ""),
    }
}

/// Bytes, rounded down, in the smallest binary unit in which the number has at
/// most four digits: `9999 bytes`, `9 KiB`.
pub(crate) fn show_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    while bytes >> (10 * unit) >= 10_000 && unit + 1 < UNITS.len() {
        unit += 1;
    }
    format!("{} {}", bytes >> (10 * unit), UNITS[unit])
}

/// Bytes in MiB, rounded up: room that is needed, or a limit.
pub(crate) fn show_mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// A time in microseconds, rounded down, in a unit in which the number has at
/// most four digits, as long as it is below 10 000 s.
pub(crate) fn show_microseconds(microseconds: u64) -> String {
    match microseconds {
        0..10_000 => format!("{microseconds} µs"),
        10_000..10_000_000 => format!("{} ms", microseconds / 1000),
        _ => format!("{} s", microseconds / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, millis) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("7", 7000),
        ] {
            assert_eq!(parse_time(text), Ok(Duration::from_millis(millis)));
        }
        for bad in [
            "",
            "s",
            "1h",
            "-1s",
            "1.5s",
            "0",
            "0ms",
            "2000m",
            "99999999999999999999s",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_binary_suffixes() {
        assert_eq!(parse_size("10GiB"), Some(10 << 30));
        assert_eq!(parse_size("7"), Some(7));
        assert_eq!(parse_size("99999999999999T"), None);
        assert_eq!(parse_size("G"), None);
    }

    #[test]
    fn a_size_is_shown_in_the_smallest_unit_with_four_digits() {
        assert_eq!(show_size(0), "0 bytes");
        assert_eq!(show_size(9_999), "9999 bytes");
        assert_eq!(show_size(10_000), "9 KiB");
        assert_eq!(show_size(u64::MAX), "16777215 TiB");
        assert_eq!(show_mebibytes((1 << 20) + 1), "2 MiB");
    }

    #[test]
    fn a_time_is_shown_in_the_smallest_unit_with_four_digits() {
        assert_eq!(show_microseconds(9_999), "9999 µs");
        assert_eq!(show_microseconds(12_345), "12 ms");
        assert_eq!(show_microseconds(10_000_000), "10 s");
    }
}
