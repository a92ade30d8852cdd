//! What the functions for the single commands share.

use std::sync::Arc;

use tokio::{sync::watch, task::JoinSet};
use tracing::debug;

use super::{
    completion::Completion,
    incoming_write::IncomingWrite,
    pieces::Piece,
    reply::Reply,
    request::{Refusal, Terms},
    tally::Tally,
};
use crate::{
    budget::Place,
    export::Writes,
    server::{
        context::Context,
        error::ConnectionError,
        figures::{Command, Visit},
        in_flight::Memory,
        negotiated::Negotiated,
        receive_buffer::ReceiveBuffer,
        send_buffer::SendBuffer,
        stream::Stream,
    },
    wire::Request,
};

/// One connection in the transmission phase.
pub(in crate::server) struct Transmission<'a, S> {
    pub(super) stream: &'a mut S,
    pub(super) incoming: ReceiveBuffer,
    pub(super) outgoing: SendBuffer,
    pub(super) context: Arc<Context>,
    /// Of the requests of this connection.
    pub(super) memory: Memory,
    pub(super) negotiated: Negotiated,
    /// Requests that are served by tasks of their own.
    pub(super) deferred: JoinSet<Completion>,
    /// What they count as, in bytes, against `connection_bytes`.
    pub(super) deferred_bytes: u32,
    /// The writing side of the export, if it has one.
    pub(super) writes: Option<Arc<dyn Writes>>,
    /// A write of which data is still to come.
    pub(super) incoming_write: Option<IncomingWrite>,
    /// Empty between requests; retained for its capacity.
    pub(super) pieces: Vec<Piece>,
    pub(super) shutting_down: bool,
    /// Its place among the connections, if those are counted.
    pub(in crate::server) place: Option<Arc<Place>>,
    /// Says to the prefetches that the client is gone.
    pub(super) ending: watch::Sender<bool>,
    /// What is counted of it.
    pub(super) tally: Tally,
    /// Requests so far.
    pub(super) requests: u64,
    /// The same at the last tick.
    pub(super) requests_at_tick: u64,
    /// Bytes of reads so far.
    pub(super) bytes: u64,
}

impl<'a, S> Transmission<'a, S> {
    pub(in crate::server) fn new(
        stream: &'a mut S,
        incoming: ReceiveBuffer,
        outgoing: SendBuffer,
        (context, negotiated, visit): (Arc<Context>, Negotiated, Visit),
    ) -> Self {
        let memory = outgoing.memory().clone();
        let writes = negotiated.export.writes();
        Self {
            stream,
            incoming,
            outgoing,
            context,
            memory,
            negotiated,
            writes,
            deferred: JoinSet::new(),
            deferred_bytes: 0,
            incoming_write: None,
            pieces: Vec::new(),
            shutting_down: false,
            place: None,
            ending: watch::Sender::new(false),
            tally: Tally::new(visit),
            requests: 0,
            requests_at_tick: 0,
            bytes: 0,
        }
    }

    /// How many requests and bytes of reads were served.
    pub(in crate::server) fn served(&self) -> (u64, u64) {
        (self.requests, self.bytes)
    }

    /// What requests are validated against.
    pub(super) fn terms(&self) -> Terms<'_> {
        Terms {
            info: self.negotiated.export.info(),
            structured_replies: self.negotiated.structured_replies,
            base_allocation: self.negotiated.base_allocation,
            writes: self.writes.as_ref(),
        }
    }

    /// Replies why a request is not served.
    pub(super) fn refuse(&mut self, request: &Request, refusal: &Refusal) {
        debug!(error = refusal.error, "{}", refusal.text);
        let reply = self.reply_to(request);
        self.reply_error(reply, refusal.error, &refusal.text);
        self.tally.answered(reply);
    }

    /// Replies with an error.
    pub(super) fn reply_error(&mut self, reply: Reply, error: u32, text: &str) {
        self.context.counters.error(error);
        reply.error(&mut self.outgoing, error, text);
    }

    /// Replies that what takes no waiting is done.
    pub(super) fn done(&mut self, reply: Reply) {
        reply.done(&mut self.outgoing);
        self.tally.answered(reply);
    }

    pub(super) fn reply_to(&self, request: &Request) -> Reply {
        Reply {
            cookie: request.cookie.get(),
            structured: self.negotiated.structured_replies,
            command: Command::of(request.command.get()),
            received: self.tally.received(),
        }
    }
}

impl<S: Stream> Transmission<'_, S> {
    /// Sends everything; it counts from before that on, so that who has a reply
    /// finds it in the figures.
    pub(super) async fn flush(&mut self) -> Result<(), ConnectionError> {
        self.tally
            .settle(&self.context.counters, self.outgoing.len());
        Ok(self.outgoing.flush(self.stream).await?)
    }
}
