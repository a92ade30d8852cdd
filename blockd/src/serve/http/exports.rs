//! `/exports`: what is open now, as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use blockd_nbd::server::OpenExport;
use serde::Serialize;

use crate::plain_text;

/// How many exports are shown; names have up to 4096 bytes.
pub(super) const SHOWN: usize = 200;

#[derive(Serialize)]
struct Exports<'a> {
    exports: Vec<Export<'a>>,
    /// How many more there are, with no more connections than these.
    more: u64,
}

#[derive(Serialize)]
struct Export<'a> {
    name: &'a str,
    connections: u64,
    reads: u64,
    read_bytes: u64,
    /// Seconds since 1970.
    since: u64,
}

/// The exports that are `open`, of `count` in all.
pub(super) fn json(count: u64, open: &[OpenExport]) -> String {
    let shown = u64::try_from(open.len()).expect("a usize has at most 64 bits");
    let exports = Exports {
        exports: open.iter().map(Export::of).collect(),
        more: count.saturating_sub(shown),
    };
    let text = serde_json::to_string(&exports).expect("texts and numbers are JSON");
    plain_text::json(&text).into_owned() + "\n"
}

impl<'a> Export<'a> {
    fn of(open: &'a OpenExport) -> Self {
        Self {
            name: &open.name,
            connections: open.connections,
            reads: open.reads,
            read_bytes: open.read_bytes,
            since: seconds(open.since),
        }
    }
}

/// Since 1970; a clock that shows less is not set.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_of_others_are_escaped() {
        let open = OpenExport {
            name: "a\"\u{9b}2J\u{202e}\n</script>".to_owned(),
            connections: 1,
            since: UNIX_EPOCH + Duration::from_secs(5),
            reads: 2,
            read_bytes: 3,
        };
        let text = json(3, &[open]);
        let expected = r#"{"exports":[{"name":"a\"\u009b2J\u202e\n</script>","connections":1,"reads":2,"read_bytes":3,"since":5}],"more":2}"#;
        assert_eq!(text.trim_end(), expected);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value["exports"][0]["name"],
            "a\"\u{9b}2J\u{202e}\n</script>"
        );
    }
}
