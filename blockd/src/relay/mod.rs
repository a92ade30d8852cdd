//! `blockd relay`: a remote export, held fast on this host.
//!
//! ```text
//!            ┌ unix socket ─ server ─ nbd ┐
//! kernel ◄───┤                            ├─ Export ─┬─ upstream::Pool ─┬─ nbd client ─► server a
//!            └ FUSE, one file ────────────┘          └─ cache, ahead    └─ nbd client ─► server b
//! ```
//! Above there is a network and servers that come and go; below there is a
//! kernel that must never be left hanging, and never be shown a wrong byte.
//! So: one canonical name for all upstreams, checked at every connect; reads
//! that are sent again when a connection is lost, and elsewhere when a server
//! is late; and an error after a deadline, whatever happens.

mod ahead;
mod cache;
mod control;
mod counters;
mod cow;
mod daemon;
mod export;
mod fuse;
mod latency;
mod pid_file;
mod status;
mod upstream;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
    task::JoinHandle,
};
use tracing::info;

use self::{
    ahead::Ahead,
    cache::Cache,
    cow::Cow,
    export::{Only, RelayExport},
    fuse::Mounted,
    pid_file::PidFile,
    status::Source,
    upstream::{Pool, resolve},
};
pub use self::{
    ahead::AheadStatus,
    cache::{CacheStatus, Hydration},
};
pub(crate) use self::{
    cache::NAME as CACHE,
    control::hydrate,
    daemon::{Greeting, inherit_nothing},
    fuse::NAME as DISK,
    pid_file::{Process, boot},
};
use crate::{
    cli::relay::RelayArgs,
    signals::{EndSignals, HangUp},
};
use blockd_nbd::{
    Export, Limits, Writes,
    server::{Listener, Server},
    uri::{Address, NbdUri},
};

/// Reads spend their time waiting; two threads keep a gigabyte a second going.
const WORKERS: usize = 2;
/// What replies to all local clients may hold in memory.
const TOTAL_BYTES: u32 = 256 << 20;
/// How long reads in flight may take when the relay is told to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Relays until it is told to end, or its FUSE file system is unmounted. Must
/// be called before anything starts a thread.
///
/// # Errors
///
/// A sentence for the person who started it.
pub fn relay(args: &RelayArgs) -> Result<()> {
    if args.daemon {
        return daemon::launch(args);
    }
    let args = args.absolute()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    let started = runtime.block_on(Relay::start(&args));
    if args.detached {
        let greeting = match &started {
            Ok(_) => Greeting::Ready,
            Err(error) => Greeting::Failed(format!("{error:#}")),
        };
        // A parent that is gone wants no relay: then it is dropped again.
        greeting.say()?;
    }
    let relay = started?;
    if !args.detached {
        relay.announce(&args)?;
    }
    let ended = runtime.block_on(relay.run());
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// A relay that serves.
#[derive(Debug)]
struct Relay {
    name: String,
    server: JoinHandle<()>,
    stop_server: oneshot::Sender<()>,
    /// What answers on the status and on the control socket.
    sockets: Vec<JoinHandle<()>>,
    mounted: Option<Mounted>,
    cow: Option<Arc<Cow>>,
    signals: EndSignals,
    _pid_file: Option<PidFile>,
}

impl Relay {
    async fn start(args: &RelayArgs) -> Result<Self> {
        one_name(&args.uris)?;
        // Before anybody is told that we are here.
        let signals = EndSignals::catch(hang_up(args.detached))?;
        let pid_file = args.pid_file.as_deref().map(PidFile::write).transpose()?;
        daemon::stay_in_memory();
        let resolved = resolve(&args.uris).await?;
        let name = resolved.disk.info().name.clone();
        let listener = Listener::bind_unix(&args.unix).await?;
        let round_trip = resolved.round_trip;
        let pool = Pool::start(&args.uris, resolved, args.connections, args.timeout);
        let ahead = Ahead::start(pool, args.front, round_trip);
        let cache = args.cache.clone();
        let cache = cache.map(|folder| Cache::new(Arc::clone(&ahead), folder, args.cache_size));
        let below = RelayExport::new(Arc::clone(&ahead), cache.clone());
        let mut export: Arc<dyn Export> = Arc::new(below);
        let mut cow = None;
        if let Some(folder) = &args.cow {
            let changes = Cow::open(export, folder)?;
            cow = Some(Arc::clone(&changes));
            export = changes;
        }
        let source = Source {
            ahead,
            cache: cache.clone(),
            cow: cow.clone(),
            since: SystemTime::now(),
        };
        let mut sockets = Vec::new();
        if let Some(path) = &args.control {
            sockets.push(tokio::spawn(control::serve(path, cache).await?));
        }
        if let Some(path) = &args.status {
            sockets.push(tokio::spawn(status::serve(path, source).await?));
        }
        let mounted = match &args.fuse {
            Some(path) => Some(fuse::mount(path, Arc::clone(&export), Handle::current())?),
            None => None,
        };
        let (stop_server, stop) = oneshot::channel();
        let server = Server {
            listeners: vec![listener],
            tls: None,
            limits: limits(),
            exports: Arc::new(Only(export)),
        };
        let server = tokio::spawn(server.run(async move {
            // Dropped is told to stop, too.
            stop.await.ok();
        }));
        Ok(Self {
            name,
            server,
            stop_server,
            sockets,
            mounted,
            cow,
            signals,
            _pid_file: pid_file,
        })
    }

    /// Says where it serves, in lines that can be pasted.
    fn announce(&self, args: &RelayArgs) -> io::Result<()> {
        let local = NbdUri {
            address: Address::Unix(args.unix.clone()),
            export: self.name.clone(),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "relaying {}", self.name)?;
        writeln!(out, "  at {local}")?;
        if let Some(folder) = &args.fuse {
            writeln!(out, "  and {}", folder.join(fuse::NAME).display())?;
        }
        out.flush()
    }

    async fn run(mut self) -> Result<()> {
        let unmounted = async {
            match &mut self.mounted {
                Some(mounted) => mounted.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = self.signals.received() => info!("ended by {signal}"),
            ended = unmounted => {
                info!("the FUSE file system was unmounted");
                ended?;
            }
        }
        for socket in &self.sockets {
            socket.abort();
        }
        if let Some(mounted) = &self.mounted {
            mounted.unmount();
        }
        // A server that is gone has stopped.
        let _stopping = self.stop_server.send(());
        self.server.await?;
        if let Some(cow) = self.cow {
            cow.flush().await?;
        }
        Ok(())
    }
}

/// In the background, the end of a terminal is not ours.
fn hang_up(detached: bool) -> HangUp {
    if detached {
        HangUp::Ignored
    } else {
        HangUp::Default
    }
}

fn limits() -> Limits {
    Limits {
        total_bytes: TOTAL_BYTES,
        drain_time: DRAIN,
        ..Limits::default()
    }
}

/// Several servers, one export: whoever means two would get one of them.
fn one_name(uris: &[NbdUri]) -> Result<()> {
    let names: BTreeSet<_> = uris.iter().map(|uri| uri.export.as_str()).collect();
    if names.len() > 1 {
        bail!("a relay has one export, and the URIs name {names:?}: start a relay for each");
    }
    Ok(())
}
