//! `blockd relay`: an export of remote servers on this host, with reconnects
//! and failover.
//!
//! ```text
//!            ┌ unix socket ─ NBD server ─┐
//! kernel ◄───┤                           ├─ Export ─┬─ upstream::Pool ─┬─ NBD client ─► server a
//!            └ FUSE, one file ───────────┘          └─ cache, ahead    └─ NBD client ─► server b
//! ```
//! On one side there is a network with servers that come and go; on the other
//! a kernel, which must not hang and must never read a wrong byte. So all
//! upstreams are asked for one canonical name, and checked at every connect;
//! reads are sent again when a connection is lost, and elsewhere when a server
//! is late; and after a timeout they fail, whatever happens.

mod ahead;
mod buffer;
mod cache;
mod control;
mod counters;
mod cow;
mod daemon;
mod export;
mod first_block;
mod fuse;
mod latency;
mod memory;
mod pid_file;
mod privacy;
mod protocol;
mod sockets;
mod status;
mod upstream;

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    runtime::{Builder, Handle, Runtime},
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
pub(crate) use self::{
    cache::NAME as CACHE,
    control::hydrate,
    daemon::inherit_nothing,
    fuse::NAME as DISK,
    pid_file::{Process, boot},
    protocol::{DEFAULT_CACHE_SIZE, Greeting},
};
pub use self::{
    daemon::{Inherited, RelayProgram, launch},
    protocol::{
        AheadStatus, CacheStatus, ChangedStatus, Hydration, Latency, RelayOptions, Status,
        UpstreamState, UpstreamStatus,
    },
};
use crate::{
    open_files,
    signals::{EndSignals, HangUp},
};
use blockd_nbd::{
    Export, Limits, Writes, printable,
    server::{Listener, Server},
    uri::{Address, NbdUri},
};

/// Threads of the runtime. Reads spend their time waiting; two threads serve a
/// gigabyte a second.
const WORKERS: usize = 2;
/// Bytes that replies to all local clients may hold in memory.
const TOTAL_BYTES: u32 = 256 << 20;
/// How long reads in flight may take when the relay is asked to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the runtime's blocking threads may take when the relay ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(100);

/// Relays until SIGTERM or SIGINT, or until its FUSE file system is unmounted.
/// Must be called before anything starts a thread.
///
/// # Errors
///
/// The URIs name different exports; no server can be used; a socket, a
/// directory or the FUSE file system cannot be used; or changed blocks cannot
/// be flushed in the end.
pub fn relay(options: &RelayOptions) -> Result<()> {
    privacy::shut_others_out();
    let runtime = runtime()?;
    let relay = runtime.block_on(Relay::start(options, HangUp::Default))?;
    relay.announce(options)?;
    run(runtime, relay)
}

/// The same in the background: writes a `Greeting` to standard output when
/// it serves or has failed, and outlives the terminal that it was started in.
/// What it has inherited, such as the lock of its lower layer, is closed when it
/// serves.
///
/// # Errors
///
/// As [`relay`]; and nobody reads the greeting: the process that has started
/// the relay is gone, and so is the attachment that it was for.
pub fn serve_detached(options: &RelayOptions, inherited: Inherited) -> Result<()> {
    daemon::leave_terminal();
    privacy::shut_others_out();
    let runtime = runtime()?;
    let started = runtime.block_on(Relay::start(options, HangUp::Ignored));
    let greeted = daemon::greet(&match &started {
        Ok(_) => Greeting::Ready,
        Err(error) => Greeting::Failed(format!("{error:#}")),
    });
    let relay = started?;
    if let Err(error) = greeted {
        runtime.block_on(relay.end())?;
        return Err(error).context("nobody reads the relay's greeting");
    }
    drop(inherited);
    run(runtime, relay)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
}

fn run(runtime: Runtime, relay: Relay) -> Result<()> {
    let ended = runtime.block_on(relay.run());
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    ended
}

/// A running relay.
#[derive(Debug)]
struct Relay {
    name: String,
    server: JoinHandle<()>,
    /// Dropped to stop the server.
    stop_server: oneshot::Sender<()>,
    /// The tasks behind the status and the control socket.
    sockets: Vec<JoinHandle<()>>,
    mounted: Option<Mounted>,
    cow: Option<Arc<Cow>>,
    signals: EndSignals,
    _pid_file: Option<PidFile>,
}

impl Relay {
    async fn start(options: &RelayOptions, hang_up: HangUp) -> Result<Self> {
        one_name(&options.uris)?;
        open_files::raise_limit();
        // Before the process id is written, and signals may come.
        let signals = EndSignals::catch(hang_up)?;
        let pid_file = options
            .pid_file
            .as_deref()
            .map(PidFile::write)
            .transpose()?;
        memory::stay_in_memory();
        // After the files of /proc/self were written, which are root's from here on.
        privacy::hide_memory()?;
        let resolved = resolve(&options.uris, options.token.as_ref()).await?;
        let name = resolved.disk.info().name.clone();
        let listener = privacy::bind(&options.unix).await?;
        let round_trip = resolved.round_trip;
        let pool = Pool::start(
            &options.uris,
            resolved,
            options.connections,
            options.timeout,
        );
        let ahead = Ahead::start(pool, options.front, round_trip);
        let cache = options.cache.clone();
        let cache = cache.map(|folder| Cache::new(Arc::clone(&ahead), folder, options.cache_size));
        let below = RelayExport::new(Arc::clone(&ahead), cache.clone());
        let below: Arc<dyn Export> = Arc::new(below);
        let open = |folder| Cow::open(Arc::clone(&below), folder);
        let cow = options.cow.as_deref().map(open).transpose()?;
        let export = match &cow {
            Some(cow) => Arc::<Cow>::clone(cow),
            None => below,
        };
        let source = Source {
            ahead,
            cache: cache.clone(),
            cow: cow.clone(),
            since: status::now(),
        };
        let sockets = sockets(options, cache, source).await?;
        let mounted = match &options.fuse {
            Some(path) => Some(fuse::mount(path, Arc::clone(&export), Handle::current())?),
            None => None,
        };
        let (stop_server, stop) = oneshot::channel();
        let server = tokio::spawn(server(listener, export).run(async move {
            // The sender is dropped, and never sends.
            drop(stop.await);
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

    /// Prints where it serves, in lines that can be pasted.
    fn announce(&self, options: &RelayOptions) -> io::Result<()> {
        let local = NbdUri {
            address: Address::Unix(options.unix.clone()),
            export: self.name.clone(),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "relaying {}", printable(&self.name))?;
        writeln!(out, "  at {local}")?;
        if let Some(folder) = &options.fuse {
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
        self.end().await
    }

    async fn end(self) -> Result<()> {
        for socket in &self.sockets {
            socket.abort();
        }
        if let Some(mounted) = &self.mounted {
            mounted.unmount();
        }
        drop(self.stop_server);
        self.server.await?;
        if let Some(cow) = self.cow {
            cow.flush().await?;
        }
        Ok(())
    }
}

/// The tasks behind the control and the status socket.
async fn sockets(
    options: &RelayOptions,
    cache: Option<Arc<Cache>>,
    source: Source,
) -> Result<Vec<JoinHandle<()>>> {
    let mut sockets = Vec::new();
    if let Some(path) = &options.control {
        sockets.push(control::serve(path, cache).await?);
    }
    if let Some(path) = &options.status {
        sockets.push(status::serve(path, source).await?);
    }
    Ok(sockets)
}

/// The server for local clients.
fn server(listener: Listener, export: Arc<dyn Export>) -> Server {
    Server {
        listeners: vec![listener],
        tls: None,
        limits: Limits {
            total_bytes: TOTAL_BYTES,
            drain_time: DRAIN_TIMEOUT,
            ..open_files::server_limits()
        },
        exports: Arc::new(Only(export)),
    }
}

/// Several servers must show one export: of two, clients would see either.
fn one_name(uris: &[NbdUri]) -> Result<()> {
    let names: BTreeSet<_> = uris.iter().map(|uri| uri.export.as_str()).collect();
    if names.len() > 1 {
        bail!("a relay has one export, and the URIs name {names:?}: start a relay for each");
    }
    Ok(())
}
