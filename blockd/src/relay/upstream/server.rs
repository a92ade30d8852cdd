//! One upstream server: kept connected, and checked at every connect.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{
    backoff::{Backoff, jittered},
    disk::Disk,
    events::UpstreamEvents,
};
use crate::relay::protocol::UpstreamState as State;
use blockd_nbd::{
    client::{self, Client, Error},
    token::{Asked, Token},
    uri::NbdUri,
    wire,
};

/// How long to wait for an upstream that was refused: one that shows another
/// disk will not soon show the right one.
const REFUSED_INTERVAL: Duration = Duration::from_secs(5);
/// After a connection that lasted this long, the next attempt is a first one:
/// the server does not crash at every connect.
const STEADY: Duration = Duration::from_secs(2);
/// How often connections are checked for overdue answers, and for lost ones.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// One server, asked for the canonical name.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) uri: NbdUri,
    index: usize,
    link: Mutex<Link>,
}

/// The state of the connections to a server.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) state: State,
    /// What is wrong, or was the last time.
    pub(super) reason: Option<String>,
    client: Option<Arc<Client>>,
    /// Since when it answers nothing, while another server does.
    stalled: Option<Instant>,
    /// How often it was connected again.
    pub(super) reconnects: u64,
}

/// How an upstream is kept connected.
#[derive(Clone, Debug)]
pub(super) struct ConnectionPolicy {
    pub(super) disk: Disk,
    /// What goes to every upstream with the name.
    pub(super) token: Option<Token>,
    /// Connections to the active upstream; others have one.
    pub(super) connections: NonZeroUsize,
    /// A connection that owes an answer for longer is closed.
    pub(super) timeout: Duration,
    pub(super) events: Arc<UpstreamEvents>,
}

impl Upstream {
    pub(super) fn new(uri: NbdUri, index: usize) -> Self {
        let link = Link {
            state: State::Connecting,
            reason: None,
            client: None,
            stalled: None,
            reconnects: 0,
        };
        Self {
            uri,
            index,
            link: Mutex::new(link),
        }
    }

    pub(super) fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().expect("no holder of this lock panics")
    }

    /// The client, if a connection is open; and whether it answers.
    pub(super) fn usable(&self) -> Option<(Arc<Client>, bool)> {
        let mut link = self.link();
        let client = link
            .client
            .clone()
            .filter(|client| client.live_connections() > 0)?;
        if link
            .stalled
            .is_some_and(|since| client.answered_since(since))
        {
            link.stalled = None;
            link.reason = None;
        }
        Some((client, link.stalled.is_none()))
    }

    /// Marks it as one that does not answer, while another server does.
    pub(super) fn set_stalled(&self, since: Instant) {
        const REASON: &str = "it does not answer; reads go elsewhere";
        let mut link = self.link();
        if link.stalled.is_none() {
            link.stalled = Some(since);
            link.reason = Some(REASON.to_owned());
            warn!(upstream = %self.uri.address, "{REASON}");
        }
    }

    /// Keeps it connected until the task is aborted.
    pub(super) async fn maintain(
        self: Arc<Self>,
        policy: ConnectionPolicy,
        mut first: Option<Client>,
    ) {
        let mut backoff = Backoff::default();
        loop {
            let opened = match first.take() {
                Some(client) => Ok(client),
                None => self.open(&policy).await,
            };
            let pause = match opened {
                Ok(client) => {
                    let begun = Instant::now();
                    self.use_until_lost(client, &policy).await;
                    if begun.elapsed() > STEADY {
                        backoff = Backoff::default();
                    }
                    backoff.next()
                }
                Err((State::Refused, reason)) => {
                    self.set_failed(State::Refused, reason);
                    jittered(REFUSED_INTERVAL)
                }
                Err((state, reason)) => {
                    self.set_failed(state, reason);
                    backoff.next()
                }
            };
            policy.events.notify();
            sleep(pause).await;
        }
    }

    /// An upstream that was refused stays so until it shows the right disk.
    fn set_connecting(&self) {
        let mut link = self.link();
        if link.state != State::Refused {
            link.state = State::Connecting;
        }
    }

    async fn open(&self, policy: &ConnectionPolicy) -> Result<Client, (State, String)> {
        self.set_connecting();
        let ConnectionPolicy { disk, token, .. } = policy;
        let token = token.as_ref();
        let (address, name) = (&self.uri.address, disk.info().name.as_str());
        let mut opened = Client::open(address, Asked { name, token }).await;
        if let Err(Error::Refused { .. }) = &opened {
            let name_of_commit = disk.name_of_commit();
            let of_commit = Asked {
                name: &name_of_commit,
                token,
            };
            let made = client::info(address, of_commit).await;
            if made.is_ok_and(|offer| disk.check(&offer).is_ok()) {
                opened = Client::open(address, Asked { name, token }).await;
            }
        }
        let client = opened.map_err(|error| (state_after(&error), message(&error)))?;
        match disk.check(client.offer()) {
            Ok(()) => Ok(client),
            Err(reason) => Err((State::Refused, reason)),
        }
    }

    /// Offers a client to reads until its last connection is lost.
    async fn use_until_lost(&self, client: Client, policy: &ConnectionPolicy) {
        let client = Arc::new(client);
        {
            let mut link = self.link();
            if link.reason.take().is_some() {
                link.reconnects += 1;
                info!(upstream = %self.uri.address, "connected again");
            }
            link.state = State::Connected;
            link.stalled = None;
            link.client = Some(Arc::clone(&client));
        }
        policy.events.set_outage(false);
        policy.events.notify();
        tokio::select! {
            reason = self.maintain_connections(&client, policy) => client.close(&reason),
            () = until_lost(&client, policy.timeout) => {}
        }
        let reason = match client.last_error() {
            Some(error) => message(&error),
            None => "the connection was closed".to_owned(),
        };
        self.link().client = None;
        self.set_failed(State::Down, reason);
    }

    /// Keeps as many connections open as this upstream should have; returns,
    /// with the reason, when they show two disks.
    async fn maintain_connections(&self, client: &Client, policy: &ConnectionPolicy) -> String {
        let mut backoff = Backoff::default();
        let mut changes = policy.events.subscribe();
        loop {
            let active = policy.events.active() == self.index;
            let connections = if active {
                policy.connections
            } else {
                NonZeroUsize::MIN
            };
            match client.ensure_connections(connections).await {
                Ok(()) => {
                    backoff = Backoff::default();
                    // Either way, the connections are counted again.
                    let (Ok(()) | Err(_)) = timeout(CHECK_INTERVAL, changes.changed()).await;
                }
                Err(error @ Error::Protocol(_)) => return message(&error),
                Err(_) => sleep(backoff.next()).await,
            }
        }
    }

    fn set_failed(&self, state: State, reason: String) {
        let mut link = self.link();
        if link.reason.as_deref() != Some(&reason) {
            warn!(upstream = %self.uri.address, "{reason}");
        }
        link.state = state;
        link.reason = Some(reason);
    }
}

/// Closes connections that owe an answer for longer than `limit`; returns when
/// the last is lost.
async fn until_lost(client: &Client, limit: Duration) {
    while client.live_connections() > 0 {
        // Either way, answers may be overdue.
        let (Ok(()) | Err(_)) = timeout(CHECK_INTERVAL, client.connection_ended()).await;
        client.abort_stalled(limit);
    }
}

/// The state after a failed attempt: refused, if the next would fail as well.
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
pub(super) fn message(error: &Error) -> String {
    match error {
        Error::Connect { source, .. } => format!("{error}: {source}"),
        error => error.to_string(),
    }
}
