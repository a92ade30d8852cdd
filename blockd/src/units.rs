//! Sizes and times as people write them.

use std::time::Duration;

/// Bytes, with an optional binary suffix: `4096`, `512M`, `10GiB`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
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

/// `30s`, `500ms`, `2m`, or plain seconds.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time like 30s, 500ms or 2m".to_owned();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
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
        Err("a read cannot wait for nothing, nor for more than a day".to_owned())
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
}
