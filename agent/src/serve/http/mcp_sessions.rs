//! MCP sessions that live as long as a client may need them, in which no two
//! calls have one id.
//!
//! rmcp keeps sessions and their streams. Around it, here:
//!
//! - A session ends when its client deletes it, when it has had no request and no
//!   open stream for [`IDLE`], or when it is the one that has been without for the
//!   longest and [`MAX_SESSIONS`] others are open.
//! - A session is also kept on disk (`kept_sessions`), and goes on when the server
//!   has ended meanwhile.
//! - Events are remembered (`recent_events`) for clients whose connection was cut.
//! - Some clients give every call the same id. rmcp finds the stream of a response
//!   by the id, so each request gets one of ours, `NUMBER:ID`, and its response
//!   gets back `ID`, as JSON.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::{Stream, StreamExt};
use rmcp::{
    model::{
        CancelledNotification, ClientJsonRpcMessage, ClientNotification, JsonRpcMessage, RequestId,
        ServerJsonRpcMessage,
    },
    transport::{
        WorkerTransport,
        streamable_http_server::{
            SessionId, SessionManager,
            session::{
                EventStore, RestoreOutcome, ServerSseMessage, SessionStore,
                local::{LocalSessionManager, LocalSessionManagerError, LocalSessionWorker},
            },
        },
    },
};
use tokio::{
    sync::watch,
    time::{Duration, Instant},
};
use tracing::warn;

use super::{kept_sessions::KeptSessions, recent_events::RecentEvents};

/// How long a session without a request and without a stream lives: a night.
pub(super) const IDLE: Duration = Duration::from_secs(12 * 60 * 60);
/// How many sessions there may be. Each takes some ten kilobytes.
const MAX_SESSIONS: usize = 512;
/// How many unanswered requests of a session are remembered, to be cancelled by
/// the client's id.
const MAX_ASKED: usize = 256;
/// How exactly it is kept on disk when a session was used last.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// The sessions of one server.
#[derive(Debug)]
pub(super) struct McpSessions {
    rmcp: LocalSessionManager,
    events: RecentEvents,
    kept: KeptSessions,
    open: Arc<Mutex<HashMap<SessionId, Use>>>,
    requests: AtomicU64,
}

/// How a session is used.
#[derive(Debug)]
struct Use {
    /// The streams that are open.
    streams: usize,
    /// When it was used last.
    last: Instant,
    /// The newest of our ids for each of the client's, while it is not answered.
    asked: HashMap<RequestId, RequestId>,
    /// When its last use was noted on disk.
    touched: Instant,
    /// Dropped with the session: whoever waits for an event of it is let go.
    end: watch::Sender<()>,
}

impl Use {
    fn now() -> Self {
        Self {
            streams: 0,
            last: Instant::now(),
            asked: HashMap::new(),
            touched: Instant::now(),
            end: watch::Sender::new(()),
        }
    }

    fn asks(&mut self, theirs: RequestId, ours: &RequestId) {
        // Those whose client has gone are never answered.
        if self.asked.len() >= MAX_ASKED {
            self.asked.clear();
        }
        self.asked.insert(theirs, ours.clone());
    }

    fn is_over(&self) -> bool {
        self.streams == 0 && self.last.elapsed() > IDLE
    }
}

/// A stream of a session, while it is open.
struct Open {
    id: SessionId,
    open: Arc<Mutex<HashMap<SessionId, Use>>>,
}

impl Open {
    fn of(sessions: &McpSessions, id: &SessionId) -> Self {
        sessions.used(id, |session| session.streams += 1);
        Self {
            id: Arc::clone(id),
            open: Arc::clone(&sessions.open),
        }
    }

    /// A message as the client knows it, with its own id.
    fn restored(&self, mut event: ServerSseMessage) -> ServerSseMessage {
        let Some(message) = event.message.take() else {
            return event;
        };
        let mut message = Arc::unwrap_or_clone(message);
        if let Some(ours) = response_id(&mut message)
            && let Some(theirs) = theirs(ours)
        {
            if let Some(session) = locked(&self.open).get_mut(&self.id)
                && session.asked.get(&theirs) == Some(ours)
            {
                session.asked.remove(&theirs);
            }
            *ours = theirs;
        }
        event.message = Some(Arc::new(message));
        event
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(session) = locked(&self.open).get_mut(&self.id) {
            session.streams -= 1;
            session.last = Instant::now();
        }
    }
}

fn locked(open: &Mutex<HashMap<SessionId, Use>>) -> MutexGuard<'_, HashMap<SessionId, Use>> {
    open.lock().expect("no holder of this lock panics")
}

/// The id in a response.
fn response_id(message: &mut ServerJsonRpcMessage) -> Option<&mut RequestId> {
    match message {
        JsonRpcMessage::Response(response) => Some(&mut response.id),
        JsonRpcMessage::Error(error) => error.id.as_mut(),
        JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
    }
}

/// The client's id in one of ours.
fn theirs(ours: &RequestId) -> Option<RequestId> {
    let RequestId::String(ours) = ours else {
        return None;
    };
    let (_, theirs) = ours.split_once(':')?;
    serde_json::from_str(theirs).ok()
}

impl McpSessions {
    pub(super) fn new(kept: KeptSessions) -> Self {
        let events = RecentEvents::default();
        let store = Arc::new(events.clone());
        let mut rmcp = LocalSessionManager::default().with_event_store(store);
        // Sessions end here, and not there.
        rmcp.session_config.keep_alive = None;
        Self {
            rmcp,
            events,
            kept,
            open: Arc::default(),
            requests: AtomicU64::default(),
        }
    }

    /// Notes that a session is used, if there is one of that id.
    fn used<T>(&self, id: &SessionId, note: impl FnOnce(&mut Use) -> T) -> Option<T> {
        let mut open = locked(&self.open);
        let session = open.get_mut(id)?;
        session.last = Instant::now();
        if session.touched.elapsed() > TOUCH_INTERVAL {
            session.touched = session.last;
            self.kept.touch(id);
        }
        Some(note(session))
    }

    /// Whether there is a session of this id, here or on disk.
    pub(super) async fn knows(&self, id: &SessionId) -> bool {
        let is_open = locked(&self.open).contains_key(id);
        is_open || self.kept.has(id).await
    }

    /// Ends the sessions that have to make room for another.
    async fn make_room(&self) -> Result<(), LocalSessionManagerError> {
        for ended in self.superfluous() {
            self.end(&ended).await?;
        }
        Ok(())
    }

    /// Ends a session for good.
    async fn end(&self, id: &SessionId) -> Result<(), LocalSessionManagerError> {
        if let Err(error) = self.kept.delete(id).await {
            warn!(%error, "an MCP session that has ended is still on disk");
        }
        self.close_session(id).await
    }

    /// Sessions to end before another begins.
    fn superfluous(&self) -> Vec<SessionId> {
        let open = locked(&self.open);
        let ids = |(id, _): (&SessionId, &Use)| Arc::clone(id);
        let mut ended: Vec<_> = open
            .iter()
            .filter(|(_, session)| session.is_over())
            .map(ids)
            .collect();
        if ended.is_empty() && open.len() >= MAX_SESSIONS {
            let oldest = open
                .iter()
                .min_by_key(|(_, session)| (session.streams > 0, session.last));
            ended.extend(oldest.map(ids));
        }
        ended
    }

    /// The request with an id of ours; the notification that a request is
    /// cancelled with the id that the request has got.
    fn numbered(&self, id: &SessionId, mut message: ClientJsonRpcMessage) -> ClientJsonRpcMessage {
        match &mut message {
            JsonRpcMessage::Request(request) => {
                let number = self.requests.fetch_add(1, Ordering::Relaxed);
                let theirs = request.id.clone();
                let json = theirs.clone().into_json_value();
                request.id = RequestId::String(format!("{number}:{json}").into());
                self.used(id, |session| session.asks(theirs, &request.id));
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) =
                    &mut notification.notification
                {
                    self.renumber(id, cancelled);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        message
    }

    fn renumber(&self, id: &SessionId, cancelled: &mut CancelledNotification) {
        let theirs = cancelled.params.request_id.as_ref();
        let ours = theirs.and_then(|theirs| {
            let ours = self.used(id, |session| session.asked.get(theirs).cloned());
            ours.flatten()
        });
        if let Some(ours) = ours {
            cancelled.params.request_id = Some(ours);
        }
    }

    /// The stream, which keeps its session open.
    fn counted<S>(&self, id: &SessionId, stream: S) -> impl Stream<Item = ServerSseMessage> + use<S>
    where
        S: Stream<Item = ServerSseMessage>,
    {
        let open = Open::of(self, id);
        stream.map(move |event| open.restored(event))
    }
}

impl SessionManager for McpSessions {
    type Error = LocalSessionManagerError;
    type Transport = WorkerTransport<LocalSessionWorker>;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        self.make_room().await?;
        let (id, transport) = self.rmcp.create_session().await?;
        locked(&self.open).insert(Arc::clone(&id), Use::now());
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        self.rmcp.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        let is_over = locked(&self.open).get(id).is_some_and(Use::is_over);
        if is_over {
            self.end(id).await?;
        }
        self.used(id, |_| ());
        self.rmcp.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        locked(&self.open).remove(id);
        self.events.forget_session(id);
        self.rmcp.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let message = self.numbered(id, message);
        Ok(self.counted(id, self.rmcp.create_stream(id, message).await?))
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Self::Error> {
        self.rmcp
            .accept_message(id, self.numbered(id, message))
            .await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        Ok(self.counted(id, self.rmcp.create_standalone_stream(id).await?))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        let events = self.rmcp.resume(id, last_event_id).await?;
        let end = self.used(id, |session| session.end.subscribe());
        // An error of `changed` means that the session has ended, as no session does.
        let ended = async move {
            if let Some(mut end) = end {
                drop(end.changed().await);
            }
        };
        Ok(self.counted(id, events.take_until(Box::pin(ended))))
    }

    async fn restore_session(
        &self,
        id: SessionId,
    ) -> Result<RestoreOutcome<Self::Transport>, Self::Error> {
        self.make_room().await?;
        let restored = self.rmcp.restore_session(Arc::clone(&id)).await?;
        self.kept.touch(&id);
        locked(&self.open).entry(id).or_insert_with(Use::now);
        Ok(restored)
    }

    fn event_store(&self) -> Option<Arc<dyn EventStore>> {
        self.rmcp.event_store()
    }
}
