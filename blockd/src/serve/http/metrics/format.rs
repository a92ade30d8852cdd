//! The two text formats: `OpenMetrics`, which Prometheus asks for, and the older one,
//! which everything else reads.

use std::fmt::Write;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve::http) enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4.
    Text,
}

impl Format {
    /// The one for a client with this header `Accept`.
    pub(in crate::serve::http) fn accepted(accept: Option<&str>) -> Self {
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    pub(in crate::serve::http) fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// This format of a text in `OpenMetrics`.
    pub(super) fn of(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Text => older(&text),
        }
    }
}

/// The older format has `_total` in the name of a counter, where `OpenMetrics` adds it
/// to the samples, and neither units nor a mark of the end.
fn older(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# HELP ") {
            help = title.split_once(' ');
        } else if let Some(title) = line.strip_prefix("# TYPE ") {
            let total = if title.ends_with(" counter") {
                "_total"
            } else {
                ""
            };
            let (Some((name, help)), Some((_, kind))) = (help.take(), title.split_once(' ')) else {
                continue;
            };
            writeln!(
                older,
                "# HELP {name}{total} {help}\n# TYPE {name}{total} {kind}"
            )
            .expect("a String accepts every write");
        } else if !line.starts_with('#') {
            older.push_str(line);
            older.push('\n');
        }
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_their_whole_name_in_the_older_format() {
        let text = "# HELP a_bytes All of it.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
                    a_bytes_total 1\n# HELP b Some.\n# TYPE b gauge\nb{x=\"y\"} 2\n# EOF\n";
        let expected = "# HELP a_bytes_total All of it.\n# TYPE a_bytes_total counter\n\
                        a_bytes_total 1\n# HELP b Some.\n# TYPE b gauge\nb{x=\"y\"} 2\n";
        assert_eq!(older(text), expected);
    }

    #[test]
    fn who_does_not_ask_gets_the_older_format() {
        assert_eq!(Format::accepted(Some("*/*")), Format::Text);
        assert_eq!(Format::accepted(None), Format::Text);
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
    }
}
