//! How many lines of each kind one peer may cause.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use blockd_nbd::budget::{Peer, Rate, Rates};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::peer;

/// Of one kind of line, for one peer.
const EACH: Rate = Rate {
    burst: 30,
    interval: Duration::from_secs(2),
};
/// The same for all peers together.
const ALL: Rate = Rate {
    burst: 200,
    interval: Duration::from_millis(200),
};

/// How many lines there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLimit {
    /// As many as there are: of a command that ends by itself.
    None,
    /// So many of each kind for each peer: of a server.
    EachPeer,
}

/// Lines that were left out by this process.
static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

/// How many lines were left out.
pub(crate) fn suppressed() -> u64 {
    SUPPRESSED.load(Ordering::Relaxed)
}

/// How a line says how many were left out before it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rewrite {
    /// ` suppressed=7` at its end.
    Text,
    /// `"suppressed":7` as its last member.
    Json,
}

impl Rewrite {
    fn with(self, line: &str, left_out: u64) -> String {
        let line = line.trim_end_matches('\n');
        match self {
            Self::Text => format!("{line} suppressed={left_out}\n"),
            Self::Json => {
                let open = line.strip_suffix('}').expect("a line is one object");
                format!("{open},\"suppressed\":{left_out}}}\n")
            }
        }
    }
}

/// A format for so many lines of each kind, which is the place in the source that
/// logs it, and each peer. Lines that are about no connection have a share, too.
pub(super) struct Limited<F> {
    format: F,
    rewrite: Rewrite,
    rates: Option<Rates<&'static str>>,
}

impl<F> Limited<F> {
    pub(super) fn new(format: F, limit: LogLimit, rewrite: Rewrite) -> Self {
        let rates = match limit {
            LogLimit::None => None,
            LogLimit::EachPeer => Some(Rates::new(EACH, ALL)),
        };
        Self {
            format,
            rewrite,
            rates,
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for Limited<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(rates) = &self.rates else {
            return self.format.format_event(context, writer, event);
        };
        let peer = context.lookup_current().and_then(|span| peer::of(&span));
        let peer = peer.unwrap_or(Peer::Own);
        match rates.take(peer, &event.metadata().name()) {
            Some(0) => self.format.format_event(context, writer, event),
            Some(left_out) => {
                let mut line = String::new();
                self.format
                    .format_event(context, Writer::new(&mut line), event)?;
                writer.write_str(&self.rewrite.with(&line, left_out))
            }
            // An empty line is not written.
            None => {
                SUPPRESSED.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_were_left_out() {
        assert_eq!(Rewrite::Text.with("a b=1\n", 7), "a b=1 suppressed=7\n");
        let json = Rewrite::Json.with("{\"a\":{\"b\":1}}\n", 7);
        assert_eq!(json, "{\"a\":{\"b\":1},\"suppressed\":7}\n");
    }
}
