//! Sizes and times for people.

/// A number of bytes in the largest unit of which there are at least 10000 of the
/// next smaller one.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let fits = |unit: &usize| bytes >> (10 * unit) < 10_000;
    let unit = (0..units.len()).find(fits).unwrap_or(units.len() - 1);
    format!("{} {}", bytes >> (10 * unit), units[unit])
}

/// A number of microseconds in µs, ms or s.
pub(crate) fn time(microseconds: u64) -> String {
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
    fn numbers_have_units() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(9_999), "9999 bytes");
        assert_eq!(size(10_000), "9 KiB");
        assert_eq!(size(u64::MAX), "16777215 TiB");
        assert_eq!(time(12_345), "12 ms");
    }
}
