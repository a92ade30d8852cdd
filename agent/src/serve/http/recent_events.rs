//! The last events of MCP streams, for clients whose connection was cut: by the id
//! of the last event that they have got (`Last-Event-ID`) they get the rest, also
//! when the call was answered meanwhile (MCP, "Resumability and Redelivery").

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use futures_util::stream;
use rmcp::{
    model::JsonRpcMessage,
    transport::streamable_http_server::session::{
        EventId, EventStore, EventStoreError, EventStream, ServerSseMessage,
    },
};
use tokio::sync::watch;

/// How many bytes of messages are remembered; the oldest streams are forgotten.
const MAX_BYTES: usize = 8 << 20;
/// How many streams are remembered.
const MAX_STREAMS: usize = 1024;
/// What an event takes beside its message.
const EVENT_OVERHEAD: usize = 256;

/// The last events of all sessions. Ids are `STREAM/NUMBER`, and a stream's id
/// cannot be guessed.
#[derive(Clone, Default)]
pub(super) struct RecentEvents(Arc<Mutex<Streams>>);

impl fmt::Debug for RecentEvents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RecentEvents({} bytes)", self.streams().bytes)
    }
}

#[derive(Default)]
struct Streams {
    by_id: HashMap<String, Kept>,
    /// In the order of their first events.
    order: VecDeque<String>,
    bytes: usize,
}

/// The events of one stream.
struct Kept {
    /// The number of an event is its place.
    events: Vec<ServerSseMessage>,
    bytes: usize,
    /// Whether the response was sent, after which nothing comes.
    is_over: bool,
    /// Tells those who follow of each event, and by its end of the stream's.
    news: watch::Sender<()>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            bytes: 0,
            is_over: false,
            news: watch::Sender::new(()),
        }
    }
}

/// What follows an event.
enum Next {
    Event(Box<ServerSseMessage>),
    /// Nothing yet.
    Later(watch::Receiver<()>),
    End,
}

impl RecentEvents {
    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Forgets the stream of a session's notifications: the session has ended.
    pub(super) fn forget_session(&self, session: &str) {
        self.streams().forget(&format!("{session}:common"));
    }

    fn next(&self, stream: &str, number: usize) -> Next {
        let streams = self.streams();
        let Some(kept) = streams.by_id.get(stream) else {
            return Next::End;
        };
        match kept.events.get(number) {
            Some(event) => Next::Event(Box::new(event.clone())),
            None if kept.is_over => Next::End,
            None => Next::Later(kept.news.subscribe()),
        }
    }
}

impl Streams {
    fn forget(&mut self, stream: &str) {
        if let Some(kept) = self.by_id.remove(stream) {
            self.bytes -= kept.bytes;
            self.order.retain(|id| id != stream);
        }
    }

    fn add(&mut self, stream: &str, event: &ServerSseMessage) -> Result<EventId, EventStoreError> {
        let message = event.message.as_deref();
        let length = match message {
            Some(message) => serde_json::to_vec(message)?.len(),
            None => 0,
        };
        if !self.by_id.contains_key(stream) {
            self.order.push_back(stream.to_owned());
        }
        let kept = self.by_id.entry(stream.to_owned()).or_default();
        let id = format!("{stream}/{}", kept.events.len());
        let mut event = event.clone();
        event.event_id = Some(id.clone());
        kept.events.push(event);
        kept.bytes += length + EVENT_OVERHEAD;
        kept.is_over = matches!(
            message,
            Some(JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_))
        );
        kept.news.send_replace(());
        self.bytes += length + EVENT_OVERHEAD;
        while (self.bytes > MAX_BYTES || self.by_id.len() > MAX_STREAMS)
            && let Some(oldest) = self.order.front().cloned()
        {
            self.forget(&oldest);
        }
        Ok(id)
    }
}

#[async_trait]
impl EventStore for RecentEvents {
    async fn store_event(
        &self,
        stream_id: &str,
        event: &ServerSseMessage,
    ) -> Result<EventId, EventStoreError> {
        self.streams().add(stream_id, event)
    }

    async fn replay_events_after(
        &self,
        last_event_id: &str,
    ) -> Result<EventStream, EventStoreError> {
        let place = last_event_id.rsplit_once('/');
        let place = place.and_then(|(stream, number)| {
            let number: usize = number.parse().ok()?;
            Some((stream.to_owned(), number.checked_add(1)?))
        });
        let known = place.filter(|(stream, _)| self.streams().by_id.contains_key(stream));
        let known = known.ok_or("no such event, or one that is no longer remembered")?;
        let following = stream::unfold((self.clone(), known), async |(events, place)| {
            let (stream, number) = place;
            loop {
                match events.next(&stream, number) {
                    Next::Event(event) => return Some((*event, (events, (stream, number + 1)))),
                    // An error means that the stream was forgotten: then it ends.
                    Next::Later(mut news) => drop(news.changed().await),
                    Next::End => return None,
                }
            }
        });
        Ok(Box::pin(following))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use rmcp::{
        model::ServerJsonRpcMessage,
        transport::streamable_http_server::session::{EventStore, ServerSseMessage},
    };
    use serde_json::json;

    use super::{MAX_BYTES, MAX_STREAMS, RecentEvents};

    fn event(message: serde_json::Value) -> ServerSseMessage {
        let message: ServerJsonRpcMessage = serde_json::from_value(message).unwrap();
        ServerSseMessage::from_message(message)
    }

    fn answer(text: &str) -> ServerSseMessage {
        event(json!({ "jsonrpc": "2.0", "id": "0:1", "error": { "code": 1, "message": text } }))
    }

    fn notice() -> ServerSseMessage {
        event(json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }))
    }

    #[tokio::test]
    async fn the_rest_of_a_stream_follows_an_event_also_when_it_comes_later() {
        let events = RecentEvents::default();
        let first = events.store_event("a", &notice()).await.unwrap();
        events.store_event("b", &notice()).await.unwrap();
        let mut rest = events.replay_events_after(&first).await.unwrap();
        events.store_event("a", &notice()).await.unwrap();
        assert_eq!(rest.next().await.unwrap().event_id.unwrap(), "a/1");
        let response = answer("x");
        let (last, stored) = tokio::join!(rest.next(), events.store_event("a", &response));
        assert_eq!(last.unwrap().event_id.unwrap(), stored.unwrap());
        assert!(rest.next().await.is_none(), "it was answered");
        let again = events.replay_events_after(&first).await.unwrap();
        assert_eq!(again.count().await, 2);
    }

    #[tokio::test]
    async fn an_event_that_is_not_known_is_an_error() {
        let events = RecentEvents::default();
        events.store_event("a", &notice()).await.unwrap();
        for id in ["", "a", "a/", "b/0", "a/-1", "a/18446744073709551615"] {
            assert!(events.replay_events_after(id).await.is_err(), "{id}");
        }
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded_and_who_follows_what_is_forgotten_is_let_go() {
        let events = RecentEvents::default();
        let first = events.store_event("s:common", &notice()).await.unwrap();
        let mut followed = events.replay_events_after(&first).await.unwrap();
        let long = answer(&"x".repeat(1 << 20));
        for nth in 0..20 {
            events.store_event(&nth.to_string(), &long).await.unwrap();
        }
        assert!(events.streams().bytes <= MAX_BYTES);
        assert!(followed.next().await.is_none());
        for nth in 0..2 * MAX_STREAMS {
            events
                .store_event(&nth.to_string(), &notice())
                .await
                .unwrap();
        }
        assert!(events.streams().by_id.len() <= MAX_STREAMS);
        events.store_event("t:common", &notice()).await.unwrap();
        events.forget_session("t");
        assert!(events.replay_events_after("t:common/0").await.is_err());
        let streams = events.streams();
        assert_eq!(streams.order.len(), streams.by_id.len());
    }
}
