//! All upstreams of one disk, and the reads that go to them.

use std::{
    future::pending,
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{
    disk::Disk,
    events::{Changes, UpstreamEvents},
    resolve::Resolved,
    server::{ConnectionPolicy, Upstream},
};
use crate::relay::{
    counters::Counters,
    protocol::{Latency, UpstreamState as State, UpstreamStatus},
};
use blockd_nbd::{
    ReadError,
    client::{self, Client, Error},
    token::{Asked, Token},
    uri::NbdUri,
    wire::NBD_ESHUTDOWN,
};

/// A read that is not answered after this long is sent to another upstream as
/// well.
const HEDGE_DELAY: Duration = Duration::from_millis(300);
/// How long a read waits at most after one that has timed out.
const OUTAGE_TIMEOUT: Duration = Duration::from_secs(1);

/// Reads of one disk, from any of its upstreams.
#[derive(Debug)]
pub(in crate::relay) struct Pool {
    disk: Disk,
    token: Option<Token>,
    upstreams: Vec<Arc<Upstream>>,
    events: Arc<UpstreamEvents>,
    /// How long a read waits before it fails.
    timeout: Duration,
    counters: Counters,
    /// The tasks that keep the upstreams connected; they end with the pool.
    _maintainers: JoinSet<()>,
}

type Attempt<'a> = BoxFuture<'a, (usize, Instant, client::Result<Vec<u8>>)>;

impl Pool {
    /// An export as the upstreams are asked for it.
    pub(super) fn asked<'a>(&'a self, name: &'a str) -> Asked<'a> {
        let token = self.token.as_ref();
        Asked { name, token }
    }

    /// Keeps all upstreams connected. Must be called inside a runtime.
    pub(in crate::relay) fn start(
        uris: &[NbdUri],
        resolved: Resolved,
        connections: NonZeroUsize,
        timeout: Duration,
    ) -> Arc<Self> {
        let Resolved {
            client,
            index: active,
            disk,
            token,
            ..
        } = resolved;
        let events = Arc::new(UpstreamEvents::new(active));
        let policy = ConnectionPolicy {
            disk: disk.clone(),
            token: token.clone(),
            connections,
            timeout,
            events: Arc::clone(&events),
        };
        let mut first = Some(client);
        let mut maintainers = JoinSet::new();
        let mut upstreams = Vec::new();
        for (index, uri) in uris.iter().enumerate() {
            let uri = NbdUri {
                address: uri.address.clone(),
                export: disk.info().name.clone(),
            };
            let upstream = Arc::new(Upstream::new(uri, index));
            let first = first.take_if(|_| index == active);
            maintainers.spawn(Arc::clone(&upstream).maintain(policy.clone(), first));
            upstreams.push(upstream);
        }
        Arc::new(Self {
            disk,
            token,
            upstreams,
            events,
            timeout,
            counters: Counters::default(),
            _maintainers: maintainers,
        })
    }

    /// The address of an upstream, and the canonical name.
    pub(super) fn uri(&self, index: usize) -> &NbdUri {
        &self.upstreams[index].uri
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(in crate::relay) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Reads from whichever upstream answers, in parts that upstreams accept.
    ///
    /// # Errors
    ///
    /// None answers within the timeout, or all say that they cannot read it.
    pub(in crate::relay) async fn read(
        &self,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, ReadError> {
        let most = self.disk.info().block_size.maximum;
        let (mut at, mut left) = (offset, length);
        let mut bytes = Vec::new();
        while left > 0 {
            let part = left.min(most);
            let read = self.read_part(at, part).await?;
            at += u64::from(part);
            left -= part;
            if bytes.is_empty() {
                bytes = read;
            } else {
                bytes.extend_from_slice(&read);
            }
        }
        Ok(bytes)
    }

    /// Reads ahead of requests, no more than upstreams accept at once. `None`
    /// when it cannot be read: as nobody has asked for it, that is no error.
    pub(in crate::relay) async fn read_ahead(&self, offset: u64, length: u32) -> Option<Vec<u8>> {
        let begun = Instant::now();
        let read = timeout(self.timeout, self.ask((offset, length), HEDGE_DELAY)).await;
        // A request that waits for it must not wait as long once more.
        self.events.set_outage(read.is_err());
        match read {
            Ok(Ok(bytes)) => {
                self.counters.answered(begun.elapsed(), length);
                Some(bytes)
            }
            Ok(Err(_)) | Err(_) => None,
        }
    }

    async fn read_part(&self, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        let _in_flight = self.counters.begin();
        let begun = Instant::now();
        let limit = if self.events.outage() {
            OUTAGE_TIMEOUT.min(self.timeout)
        } else {
            self.timeout
        };
        let result = match timeout(limit, self.ask((offset, length), HEDGE_DELAY)).await {
            Ok(Ok(bytes)) => {
                self.events.set_outage(false);
                Ok(bytes)
            }
            Ok(Err(error)) => Err(ReadError(error.to_string())),
            Err(_) => {
                self.events.set_outage(true);
                Err(ReadError(self.timeout_error(limit)))
            }
        };
        match &result {
            Ok(_) => self.counters.answered(begun.elapsed(), length),
            Err(_) => self.counters.failed(begun.elapsed()),
        }
        result
    }

    /// Reads what nobody waits for: without a timeout, from one upstream at a
    /// time.
    ///
    /// # Errors
    ///
    /// All upstreams say that they cannot read these bytes.
    pub(in crate::relay) async fn fetch(
        &self,
        offset: u64,
        length: u32,
    ) -> client::Result<Vec<u8>> {
        self.ask((offset, length), Duration::MAX).await
    }

    /// Asks one upstream, and another when that one is late (after `hedge`) or
    /// lost, without a timeout. When an upstream says that it cannot read these
    /// very bytes, all the others are asked before that is the result.
    async fn ask(&self, range: (u64, u32), hedge: Duration) -> client::Result<Vec<u8>> {
        let mut changes = self.events.subscribe();
        let mut running: FuturesUnordered<Attempt<'_>> = FuturesUnordered::new();
        let mut asked: Vec<usize> = Vec::new();
        let mut wrong: Vec<(usize, Error)> = Vec::new();
        loop {
            changes.mark_seen();
            if running.is_empty() {
                let denied: Vec<_> = wrong.iter().map(|(index, _)| *index).collect();
                if let Some((index, client)) = self.pick(&denied) {
                    asked = vec![index];
                    running.push(attempt(index, client, range));
                } else if let Some((_, error)) = wrong.pop() {
                    return Err(error);
                } else {
                    changes.changed().await;
                    continue;
                }
            }
            tokio::select! {
                Some((index, begun, result)) = running.next() => match result {
                    Ok(bytes) => {
                        self.mark_stalled(index, &asked, begun);
                        return Ok(bytes);
                    }
                    Err(error @ Error::Range { .. }) => return Err(error),
                    Err(error @ Error::Remote { code, .. }) if code != NBD_ESHUTDOWN => {
                        wrong.push((index, error));
                    }
                    Err(_) => {
                        asked.retain(|lost| *lost != index);
                        self.counters.replayed.fetch_add(1, Ordering::Relaxed);
                    }
                },
                (index, client) = self.hedge(hedge, &asked, &mut changes) => {
                    asked.push(index);
                    running.push(attempt(index, client, range));
                }
            }
        }
    }

    /// Another upstream, once it is time to ask one.
    async fn hedge(
        &self,
        late: Duration,
        asked: &[usize],
        changes: &mut Changes,
    ) -> (usize, Arc<Client>) {
        if asked.len() == self.upstreams.len() {
            return pending().await;
        }
        sleep(late).await;
        loop {
            changes.mark_seen();
            if let Some(other) = self.choose(asked) {
                return other;
            }
            changes.changed().await;
        }
    }

    /// The active upstream, or the one that takes its place.
    fn pick(&self, denied: &[usize]) -> Option<(usize, Arc<Client>)> {
        let (index, client) = self.choose(denied)?;
        if denied.is_empty() && self.events.activate(index) {
            info!(upstream = %self.upstreams[index].uri.address, "reads go here now");
        }
        Some((index, client))
    }

    /// A connected upstream, from the active one on; one that answers before
    /// one that does not.
    pub(super) fn choose(&self, denied: &[usize]) -> Option<(usize, Arc<Client>)> {
        let count = self.upstreams.len();
        let active = self.events.active();
        let order = (0..count).map(|step| (active + step) % count);
        let mut stalled = None;
        for index in order.filter(|index| !denied.contains(index)) {
            match self.upstreams[index].usable() {
                Some((client, true)) => return Some((index, client)),
                Some((client, false)) => stalled = stalled.or(Some((index, client))),
                None => {}
            }
        }
        stalled
    }

    /// Passes over from now on those that were asked before the one that
    /// answered, and have answered nothing since.
    fn mark_stalled(&self, winner: usize, asked: &[usize], begun: Instant) {
        let before = begun.checked_sub(HEDGE_DELAY);
        let before = before.expect("Linux can express instants before its boot");
        let losers = asked.iter().take_while(|index| **index != winner);
        for upstream in losers.map(|index| &self.upstreams[*index]) {
            if let Some((client, true)) = upstream.usable()
                && !client.answered_since(before)
            {
                upstream.set_stalled(begun);
            }
        }
    }

    /// Why a read was not answered within `limit`.
    fn timeout_error(&self, limit: Duration) -> String {
        let each = self.upstreams.iter().map(|upstream| {
            let link = upstream.link();
            let reason = link.reason.as_deref().unwrap_or(match link.state {
                State::Connected => "it is connected, and silent",
                State::Connecting | State::Refused | State::Down => "it is not connected",
            });
            format!("{}: {reason}", upstream.uri.address)
        });
        let each: Vec<_> = each.collect();
        let text = format!("no upstream answered in {limit:?} ({})", each.join("; "));
        warn!("{text}");
        text
    }

    pub(in crate::relay) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(in crate::relay) fn latency(&self) -> Latency {
        self.counters.latency.summary()
    }

    pub(in crate::relay) fn reconnects(&self) -> u64 {
        let each = self.upstreams.iter();
        each.map(|upstream| upstream.link().reconnects).sum()
    }

    pub(in crate::relay) fn upstreams(&self) -> Vec<UpstreamStatus> {
        let status = |upstream: &Arc<Upstream>| {
            // This also finds out whether it answers again.
            let usable = upstream.usable();
            let link = upstream.link();
            UpstreamStatus {
                uri: upstream.uri.to_string(),
                state: link.state,
                connections: usable.map_or(0, |(client, _)| client.live_connections()),
                reason: link.reason.clone(),
            }
        };
        self.upstreams.iter().map(status).collect()
    }
}

fn attempt<'a>(index: usize, client: Arc<Client>, (offset, length): (u64, u32)) -> Attempt<'a> {
    let begun = Instant::now();
    async move { (index, begun, client.read(offset, length).await) }.boxed()
}
