//! Whose connection a line in the log is about.

use std::{fmt, net::SocketAddr};

use blockd_nbd::budget::Peer;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::Context,
    registry::{LookupSpan, SpanRef},
};

/// Notes the peer of each span that has one: in the field `peer` its address, or in
/// the field `user` its user.
#[derive(Debug)]
pub(super) struct Peers;

/// What is noted with a span.
struct Noted(Peer);

#[derive(Default)]
struct Found(Option<Peer>);

impl Visit for Found {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let ("peer", Ok(address)) = (field.name(), value.parse::<SocketAddr>()) {
            self.0 = Some(Peer::of(address.ip()));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if let ("user", Ok(user)) = (field.name(), u32::try_from(value)) {
            self.0 = Some(Peer::User(user));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "peer" {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Peers {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut found = Found::default();
        attributes.record(&mut found);
        note(found, context.span(id));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut found = Found::default();
        values.record(&mut found);
        note(found, context.span(id));
    }
}

fn note<'a, S: LookupSpan<'a>>(Found(peer): Found, span: Option<SpanRef<'a, S>>) {
    if let (Some(peer), Some(span)) = (peer, span) {
        span.extensions_mut().replace(Noted(peer));
    }
}

/// The peer of this span, or of one around it.
pub(super) fn of<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Option<Peer> {
    let mut around = span.scope();
    around.find_map(|span| Some(span.extensions().get::<Noted>()?.0))
}
