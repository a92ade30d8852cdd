//! All upstreams of one disk, and the reads that go to them.

use std::{
    future::pending,
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{Board, Disk, Keeping, State, Upstream, told};
use crate::relay::{
    counters::Counters,
    status::{Latency, UpstreamStatus},
};
use blockd_nbd::{
    ReadError,
    client::{self, Client, Error, first_of},
    uri::NbdUri,
    wire::NBD_ESHUTDOWN,
};

/// A read that is not answered after this long is sent to another upstream as
/// well.
const HEDGE: Duration = Duration::from_millis(300);
/// How long a read waits once one has waited for the whole timeout in vain.
const OUTAGE: Duration = Duration::from_secs(1);

/// To open an export: the connect, the greeting, and two options.
const ROUND_TRIPS: u32 = 4;

/// Reads of one disk, from any of its upstreams.
#[derive(Debug)]
pub(in crate::relay) struct Pool {
    disk: Disk,
    upstreams: Vec<Arc<Upstream>>,
    board: Arc<Board>,
    timeout: Duration,
    counters: Counters,
    /// What keeps the upstreams connected; ends with the pool.
    _keepers: JoinSet<()>,
}

/// The first upstream that answers, and its place in the list.
#[derive(Debug)]
pub(in crate::relay) struct Resolved {
    client: Client,
    index: usize,
    pub(in crate::relay) disk: Disk,
    /// About how long a question and its answer take.
    pub(in crate::relay) round_trip: Duration,
}

/// Asks for the export by the name that was given. From here on there is only
/// the canonical name.
pub(in crate::relay) async fn resolve(uris: &[NbdUri]) -> Result<Resolved> {
    let asked = uris.iter().enumerate().map(|(index, uri)| ask(index, uri));
    first_of(asked).await.map_err(|reasons| {
        if let [(_, reason)] = reasons.as_slice() {
            return anyhow!("{reason}");
        }
        let told = reasons
            .iter()
            .map(|(uri, reason)| format!("{uri}: {reason}"));
        let told: Vec<_> = told.collect();
        anyhow!("no upstream can be used: {}", told.join("; "))
    })
}

async fn ask(index: usize, uri: &NbdUri) -> Result<Resolved, (&NbdUri, String)> {
    let begun = Instant::now();
    let opened = Client::open(&uri.address, &uri.export).await;
    let client = opened.map_err(|error| (uri, told(&error)))?;
    let disk = Disk::of(client.offer()).map_err(|reason| (uri, reason))?;
    Ok(Resolved {
        client,
        index,
        disk,
        round_trip: begun.elapsed() / ROUND_TRIPS,
    })
}

type Attempt<'a> = BoxFuture<'a, (usize, Instant, client::Result<Vec<u8>>)>;

impl Pool {
    /// Must be called inside a runtime.
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
            ..
        } = resolved;
        let board = Arc::new(Board::new(active));
        let keeping = Keeping {
            disk: disk.clone(),
            connections,
            timeout,
            board: Arc::clone(&board),
        };
        let mut first = Some(client);
        let mut keepers = JoinSet::new();
        let mut upstreams = Vec::new();
        for (index, uri) in uris.iter().enumerate() {
            let uri = NbdUri {
                address: uri.address.clone(),
                export: disk.info().name.clone(),
            };
            let upstream = Arc::new(Upstream::new(uri, index));
            let first = first.take_if(|_| index == active);
            keepers.spawn(Arc::clone(&upstream).keep(keeping.clone(), first));
            upstreams.push(upstream);
        }
        Arc::new(Self {
            disk,
            upstreams,
            board,
            timeout,
            counters: Counters::default(),
            _keepers: keepers,
        })
    }

    /// An upstream, and the canonical name.
    pub(super) fn uri(&self, index: usize) -> &NbdUri {
        &self.upstreams[index].uri
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(in crate::relay) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Reads from whichever upstream answers, in parts that they allow; fails
    /// when none does in time.
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

    /// The same for nobody yet, of no more than all upstreams allow at once:
    /// that it cannot be read is nobody's error.
    pub(in crate::relay) async fn read_ahead(&self, offset: u64, length: u32) -> Option<Vec<u8>> {
        let begun = Instant::now();
        let read = timeout(self.timeout, self.ask((offset, length), HEDGE)).await;
        // Who has waited for it meanwhile shall not wait as long once more.
        self.board.set_outage(read.is_err());
        let bytes = read.ok()?.ok()?;
        self.counters.end(begun.elapsed(), Some(bytes.len()));
        Some(bytes)
    }

    async fn read_part(&self, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        let _in_flight = self.counters.begin();
        let begun = Instant::now();
        let patience = if self.board.outage() {
            OUTAGE.min(self.timeout)
        } else {
            self.timeout
        };
        let result = match timeout(patience, self.ask((offset, length), HEDGE)).await {
            Ok(Ok(bytes)) => {
                self.board.set_outage(false);
                Ok(bytes)
            }
            Ok(Err(error)) => Err(ReadError(error.to_string())),
            Err(_) => {
                self.board.set_outage(true);
                Err(ReadError(self.complaint(patience)))
            }
        };
        self.counters
            .end(begun.elapsed(), result.as_ref().ok().map(Vec::len));
        result
    }

    /// Reads what nobody waits for: as long as it takes, of one upstream at a
    /// time. Fails when all of them say that these bytes cannot be read.
    pub(in crate::relay) async fn fetch(
        &self,
        offset: u64,
        length: u32,
    ) -> client::Result<Vec<u8>> {
        self.ask((offset, length), Duration::MAX).await
    }

    /// Asks one upstream, and another when that one is late (after `hedge`) or
    /// lost, without end. An upstream's error about these very bytes is asked
    /// about at all the others, and then believed.
    async fn ask(&self, range: (u64, u32), hedge: Duration) -> client::Result<Vec<u8>> {
        let mut changes = self.board.listen();
        let mut running: FuturesUnordered<Attempt<'_>> = FuturesUnordered::new();
        let mut asked: Vec<usize> = Vec::new();
        let mut wrong: Vec<(usize, Error)> = Vec::new();
        loop {
            changes.borrow_and_update();
            if running.is_empty() {
                let denied: Vec<_> = wrong.iter().map(|(index, _)| *index).collect();
                if let Some((index, client)) = self.pick(&denied) {
                    asked = vec![index];
                    running.push(attempt(index, client, range));
                } else if let Some((_, error)) = wrong.pop() {
                    return Err(error);
                } else {
                    // The board never closes before its listeners.
                    let _rang = changes.changed().await;
                    continue;
                }
            }
            tokio::select! {
                Some((index, begun, result)) = running.next() => match result {
                    Ok(bytes) => {
                        self.reward(index, &asked, begun);
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
        changes: &mut watch::Receiver<()>,
    ) -> (usize, Arc<Client>) {
        if asked.len() == self.upstreams.len() {
            return pending().await;
        }
        sleep(late).await;
        loop {
            changes.borrow_and_update();
            if let Some(other) = self.choose(asked) {
                return other;
            }
            let _rang = changes.changed().await;
        }
    }

    /// The active upstream, or the one that takes its place.
    fn pick(&self, denied: &[usize]) -> Option<(usize, Arc<Client>)> {
        let (index, client) = self.choose(denied)?;
        if denied.is_empty() && self.board.activate(index) {
            info!(upstream = %self.upstreams[index].uri.address, "reads go here now");
        }
        Some((index, client))
    }

    /// A connected upstream, from the active one on; one that answers before
    /// one that does not.
    pub(super) fn choose(&self, denied: &[usize]) -> Option<(usize, Arc<Client>)> {
        let count = self.upstreams.len();
        let active = self.board.active();
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

    /// Those that were asked before the one that answered, and have answered
    /// nothing since, are passed over from now on.
    fn reward(&self, winner: usize, asked: &[usize], begun: Instant) {
        let losers = asked.iter().take_while(|index| **index != winner);
        for upstream in losers.map(|index| &self.upstreams[*index]) {
            if let Some((client, true)) = upstream.usable()
                && !client.answered_since(begun.checked_sub(HEDGE).unwrap_or(begun))
            {
                upstream.stall(begun);
            }
        }
    }

    fn complaint(&self, patience: Duration) -> String {
        let each = self.upstreams.iter().map(|upstream| {
            let face = upstream.face();
            let reason = face.reason.as_deref().unwrap_or(match face.state {
                State::Connected => "it is connected, and silent",
                _ => "it is not connected",
            });
            format!("{}: {reason}", upstream.uri.address)
        });
        let each: Vec<_> = each.collect();
        let text = format!("no upstream answered in {patience:?} ({})", each.join("; "));
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
        each.map(|upstream| upstream.face().reconnects).sum()
    }

    pub(in crate::relay) fn upstreams(&self) -> Vec<UpstreamStatus> {
        let status = |upstream: &Arc<Upstream>| {
            // Whether it answers again is found out on the way.
            let usable = upstream.usable();
            let face = upstream.face();
            UpstreamStatus {
                uri: upstream.uri.to_string(),
                state: face.state,
                connections: usable.map_or(0, |(client, _)| client.live_connections()),
                reason: face.reason.clone(),
            }
        };
        self.upstreams.iter().map(status).collect()
    }
}

fn attempt<'a>(index: usize, client: Arc<Client>, (offset, length): (u64, u32)) -> Attempt<'a> {
    let begun = Instant::now();
    async move { (index, begun, client.read(offset, length).await) }.boxed()
}
