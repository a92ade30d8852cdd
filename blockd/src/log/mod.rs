//! The log: lines for people or programs on standard error, and so few of them that
//! no stranger fills a disk.

mod limit;
mod peer;

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{
        format::{Format, JsonFields},
        layer,
    },
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub use self::limit::LogLimit;
pub(crate) use self::limit::suppressed;
use self::{
    limit::{Limited, Rewrite},
    peer::Peers,
};
use crate::plain_text::{PlainJson, PlainLog};

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object of JSON.
    Json,
}

/// Writes the log of this process, from now on.
pub fn write(format: LogFormat, limit: LogLimit, filter: EnvFilter) {
    let registry = Registry::default().with(filter).with(Peers);
    match format {
        LogFormat::Text => {
            let lines = layer()
                .with_writer(PlainLog)
                .with_ansi(io::stderr().is_terminal())
                .event_format(Limited::new(Format::default(), limit, Rewrite::Text));
            registry.with(lines.boxed()).init();
        }
        LogFormat::Json => {
            let json = Format::default()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false);
            let lines = layer()
                .with_writer(PlainJson)
                .with_ansi(false)
                .fmt_fields(JsonFields::new())
                .event_format(Limited::new(json, limit, Rewrite::Json));
            registry.with(lines.boxed()).init();
        }
    }
}
