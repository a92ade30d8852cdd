//! The servers above: each one connected, kept so and checked, and the reads
//! that go to whichever answers.
//!
//! ```text
//! read ─► Pool ─► pick ─► Upstream (active)  ─► nbd client, N connections
//!            └─ late? ──► Upstream (standby) ─► nbd client, 1 connection
//! ```

mod allocation;
mod backoff;
mod board;
mod disk;
mod pool;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use self::{
    backoff::{Backoff, jittered},
    board::Board,
};
pub(super) use self::{
    disk::Disk,
    pool::{Pool, resolve},
};
use blockd_nbd::{
    client::{self, Client, Error},
    uri::NbdUri,
    wire,
};

/// An upstream that shows another disk will not soon show the right one.
const REFUSED: Duration = Duration::from_secs(5);
/// A server that lasted this long is not one that crashes at every connect.
const STEADY: Duration = Duration::from_secs(2);
/// How often it is looked whether answers are overdue.
const WATCH: Duration = Duration::from_millis(500);

/// How an upstream fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Connected,
    Connecting,
    Refused,
    Down,
}

/// One server, asked for the canonical name.
#[derive(Debug)]
pub(super) struct Upstream {
    uri: NbdUri,
    index: usize,
    face: Mutex<Face>,
}

#[derive(Debug)]
struct Face {
    state: State,
    reason: Option<String>,
    client: Option<Arc<Client>>,
    /// Since when it answers nothing, while another server does.
    stalled: Option<Instant>,
    reconnects: u64,
}

/// How one upstream is kept.
#[derive(Clone, Debug)]
struct Keeping {
    disk: Disk,
    connections: NonZeroUsize,
    /// A connection that owes an answer for longer is cut.
    timeout: Duration,
    board: Arc<Board>,
}

impl Upstream {
    fn new(uri: NbdUri, index: usize) -> Self {
        let face = Face {
            state: State::Connecting,
            reason: None,
            client: None,
            stalled: None,
            reconnects: 0,
        };
        Self {
            uri,
            index,
            face: Mutex::new(face),
        }
    }

    /// Nothing panics while it holds this lock, so it cannot be poisoned.
    fn face(&self) -> MutexGuard<'_, Face> {
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client, if a connection is alive; and whether it answers.
    fn usable(&self) -> Option<(Arc<Client>, bool)> {
        let mut face = self.face();
        let client = face
            .client
            .clone()
            .filter(|client| client.live_connections() > 0)?;
        if face
            .stalled
            .is_some_and(|since| client.answered_since(since))
        {
            face.stalled = None;
            face.reason = None;
        }
        Some((client, face.stalled.is_none()))
    }

    /// Notes that it let us wait while another server answered.
    fn stall(&self, since: Instant) {
        let mut face = self.face();
        if face.stalled.is_none() {
            face.stalled = Some(since);
            face.reason = Some("it does not answer; reads go elsewhere".to_owned());
            warn!(upstream = %self.uri.address, "it does not answer; reads go elsewhere");
        }
    }

    /// Keeps it connected for ever.
    async fn keep(self: Arc<Self>, keeping: Keeping, mut first: Option<Client>) {
        let mut backoff = Backoff::default();
        loop {
            let opened = match first.take() {
                Some(client) => Ok(client),
                None => self.open(&keeping.disk).await,
            };
            let pause = match opened {
                Ok(client) => {
                    let begun = Instant::now();
                    self.hold(client, &keeping).await;
                    if begun.elapsed() > STEADY {
                        backoff = Backoff::default();
                    }
                    backoff.next()
                }
                Err((State::Refused, reason)) => {
                    self.note(State::Refused, reason);
                    jittered(REFUSED)
                }
                Err((state, reason)) => {
                    self.note(state, reason);
                    backoff.next()
                }
            };
            keeping.board.ring();
            sleep(pause).await;
        }
    }

    /// What was refused stays so until it is found to be right.
    fn begin(&self) {
        let mut face = self.face();
        if face.state != State::Refused {
            face.state = State::Connecting;
        }
    }

    async fn open(&self, disk: &Disk) -> Result<Client, (State, String)> {
        self.begin();
        let (address, name) = (&self.uri.address, &disk.info().name);
        let mut opened = Client::open(address, name).await;
        if let Err(Error::Refused { .. }) = &opened {
            let known = client::info(address, &disk.anew()).await;
            if known.is_ok_and(|offer| disk.refuses(&offer).is_ok()) {
                opened = Client::open(address, name).await;
            }
        }
        let client = opened.map_err(|error| (state_after(&error), told(&error)))?;
        match disk.refuses(client.offer()) {
            Ok(()) => Ok(client),
            Err(reason) => Err((State::Refused, reason)),
        }
    }

    /// Reads from it until its last connection is over.
    async fn hold(&self, client: Client, keeping: &Keeping) {
        let client = Arc::new(client);
        {
            let mut face = self.face();
            if face.reason.take().is_some() {
                face.reconnects += 1;
                info!(upstream = %self.uri.address, "connected again");
            }
            face.state = State::Connected;
            face.stalled = None;
            face.client = Some(Arc::clone(&client));
        }
        keeping.board.set_outage(false);
        keeping.board.ring();
        tokio::select! {
            reason = self.widen(&client, keeping) => client.close(&reason),
            () = watch(&client, keeping.timeout) => {}
        }
        let reason = client.last_error().map(|error| told(&error));
        self.face().client = None;
        self.note(State::Down, reason.unwrap_or_default());
    }

    /// Keeps as many connections as this upstream should have; ends when they
    /// show two disks.
    async fn widen(&self, client: &Client, keeping: &Keeping) -> String {
        let mut backoff = Backoff::default();
        let mut changes = keeping.board.listen();
        loop {
            let active = keeping.board.active() == self.index;
            let wanted = if active {
                keeping.connections
            } else {
                NonZeroUsize::MIN
            };
            match client.ensure_connections(wanted).await {
                Ok(()) => {
                    backoff = Backoff::default();
                    // The board never closes before its listeners.
                    let _rang = timeout(WATCH, changes.changed()).await;
                }
                Err(error @ Error::Protocol(_)) => return told(&error),
                Err(_) => sleep(backoff.next()).await,
            }
        }
    }

    fn note(&self, state: State, reason: String) {
        let mut face = self.face();
        if face.reason.as_deref() != Some(&reason) {
            warn!(upstream = %self.uri.address, "{reason}");
        }
        face.state = state;
        face.reason = Some(reason);
    }
}

/// Cuts connections that owe an answer for too long; ends with the last one.
async fn watch(client: &Client, patience: Duration) {
    while client.live_connections() > 0 {
        // Either way it is looked again.
        let _ended = timeout(WATCH, client.connection_ended()).await;
        client.abort_stalled(patience);
    }
}

/// Whether another attempt has a chance soon.
fn state_after(error: &Error) -> State {
    match error {
        Error::Refused {
            code: wire::NBD_REP_ERR_SHUTDOWN | wire::NBD_REP_ERR_PLATFORM,
            ..
        } => State::Down,
        Error::NotNbd { .. } | Error::Refused { .. } | Error::Protocol(_) => State::Refused,
        _ => State::Down,
    }
}

/// An error and its source, in one sentence.
fn told(error: &Error) -> String {
    match error {
        Error::Connect { source, .. } => format!("{error}: {source}"),
        error => error.to_string(),
    }
}
