//! `blockd serve`: a catalog of repositories behind an NBD server.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::chdir;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tracing::{error, info, warn};

use blockd_nbd::{
    Exports, Limits,
    server::{Bound, Listener, Server, Watch, inherited_listeners, serve_stdio},
    tls::{ServerTls, VerifyPeer},
    uri::{Address, NbdUri, Tls},
};
mod allocator;
pub mod catalog;
mod http;
mod unused;

pub use self::http::HttpOptions;
use self::{
    catalog::{Catalog, CatalogOptions},
    http::{Http, Readiness},
    unused::Unused,
};
use crate::signals::{EndSignals, HangUp};

/// What a server serves, where it listens, and whom it accepts. Paths are
/// absolute: a server has `/` as its directory.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The repositories, and the server's own state.
    pub catalog: CatalogOptions,
    /// TCP addresses to listen on, `HOST[:PORT]`.
    pub listen: Vec<String>,
    /// A unix socket to listen on.
    pub unix: Option<PathBuf>,
    /// Serve one connection on standard input and output, and listen nowhere.
    pub stdio: bool,
    /// The folder with `ca-cert.pem`, `server-cert.pem` and `server-key.pem`:
    /// TCP clients must use TLS.
    pub tls: Option<PathBuf>,
    /// TCP clients must have a certificate that `ca-cert.pem` has signed.
    pub verify_peer: VerifyPeer,
    /// Days after which a snapshot that nobody has opened is removed.
    pub keep_days: u32,
    /// What its clients may use.
    pub limits: Limits,
    /// Where it shows itself by HTTP; nowhere without.
    pub http: Option<HttpOptions>,
    /// End when nobody is connected, and nobody holds a lock on this file.
    pub ends_unused: Option<PathBuf>,
    /// The sockets that a service manager has opened.
    pub inherited: Inherited,
}

/// The variables of the environment in which a service manager says which
/// sockets it passes (`sd_listen_fds(3)`).
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    /// `LISTEN_PID`: the process they are for.
    pub pid: Option<String>,
    /// `LISTEN_FDS`: how many.
    pub fds: Option<String>,
}

/// Where a server listens that has no other address.
const LOOPBACK: &str = "localhost:10809";

/// How often snapshots are looked for that have expired.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// The directories cannot be used, the certificates cannot be read, or an
/// address cannot be bound.
pub async fn serve(options: &ServeOptions) -> Result<()> {
    allocator::return_freed_memory();
    // The directory it was started in may be removed, and gix opens nothing
    // without one.
    chdir("/").context("cannot leave the current directory")?;
    let catalog = Arc::new(Catalog::new(&options.catalog)?);
    let limits = options.limits;
    // Before the addresses are printed, and signals may come.
    let shutdown = shutdown()?;
    if options.stdio {
        return Ok(serve_stdio(catalog, limits, shutdown).await?);
    }
    let certificates = options.tls.as_deref();
    let tls = certificates.map(|folder| ServerTls::load(folder, options.verify_peer));
    let tls = tls
        .transpose()
        .context("the certificates of --tls cannot be used")?
        .map(Arc::new);
    let unused = options.ends_unused.as_deref();
    let unused = unused.map(Unused::open).transpose()?;
    let listeners = listeners(options).await?;
    warn_if_open(options, &listeners);
    let http = match &options.http {
        Some(http) => Some(Http::bind(http).await.context("--http")?),
        None => None,
    };
    announce(&catalog, &listeners, tls.is_some(), http.as_ref())
        .context("cannot print where the server listens")?;
    let exports: Arc<dyn Exports> = Arc::<Catalog>::clone(&catalog);
    let expiry = tokio::spawn(expire_regularly(Arc::clone(&catalog), options.keep_days));
    let reloading = reloading(options, &catalog, tls.clone())?;
    let server = Server {
        listeners,
        limits,
        tls,
        exports,
    }
    .ready();
    let ready = Arc::new(Readiness::new(&options.catalog));
    let seen = http.map(|http| {
        let (catalog, ready) = (Arc::clone(&catalog), Arc::clone(&ready));
        tokio::spawn(http.serve(server.watch(), catalog, ready))
    });
    let watch = server.watch();
    let ending = async {
        end_of_use(shutdown, unused.as_ref(), &watch).await;
        ready.end();
    };
    server.run(ending).await;
    expiry.abort();
    reloading.inspect(JoinHandle::abort);
    if let Some(seen) = seen {
        seen.abort();
    }
    let figures = catalog.figures();
    info!(
        blob_bytes_inflated = figures.inflated,
        damaged_packs = figures.damaged_maps,
        "stopped"
    );
    Ok(())
}

/// Waits until the server is told to end, or nobody uses it if it is to end then.
async fn end_of_use(shutdown: impl Future<Output = ()>, unused: Option<&Unused>, watch: &Watch) {
    let Some(unused) = unused else {
        return shutdown.await;
    };
    tokio::select! {
        () = shutdown => {}
        () = unused.wait(watch) => info!("ended, since nobody uses it any more"),
    }
}

/// Removes snapshots that nobody has opened for so many days, every hour.
async fn expire_regularly(catalog: Arc<Catalog>, days: u32) {
    let mut ticks = tokio::time::interval(EXPIRY_INTERVAL);
    loop {
        ticks.tick().await;
        catalog.expire(DAY * days).await;
    }
}

/// Reads the access file and the certificates anew at each SIGHUP; `None` without
/// either: then SIGHUP ends the server, as when a terminal is closed.
fn reloading(
    options: &ServeOptions,
    catalog: &Arc<Catalog>,
    tls: Option<Arc<ServerTls>>,
) -> Result<Option<JoinHandle<()>>> {
    if options.catalog.access_file.is_none() && tls.is_none() {
        return Ok(None);
    }
    let mut signals = signal(SignalKind::hangup()).context("cannot catch SIGHUP")?;
    let catalog = Arc::clone(catalog);
    Ok(Some(tokio::spawn(async move {
        while signals.recv().await.is_some() {
            let access = catalog.reload_access();
            let certificates = tls.as_ref().map_or(Ok(()), |tls| tls.reload());
            match access.and(certificates.map_err(Into::into)) {
                Ok(()) => info!("read the access file and the certificates anew"),
                Err(error) => error!("what was read before stays in force: {error:#}"),
            }
        }
    })))
}

/// Says so where whoever reaches this server may open everything.
fn warn_if_open(options: &ServeOptions, listeners: &[Listener]) {
    let is_far = |listener: &&Listener| match listener.bound() {
        Bound::Tcp(address) => !address.ip().is_loopback(),
        Bound::Unix(_) | Bound::UnixWithoutPath => false,
    };
    let far = listeners.iter().find(is_far);
    if let (Some(listener), None) = (far, &options.catalog.access_file) {
        let whoever = match options.verify_peer {
            VerifyPeer::No => "whoever reaches it",
            VerifyPeer::Client | VerifyPeer::AnyUsage => "every client with a certificate",
        };
        warn!(
            "{whoever} may open every repository at {listener}: --access FILE says who may open \
             what"
        );
    }
}

async fn listeners(options: &ServeOptions) -> Result<Vec<Listener>> {
    let Inherited { pid, fds } = &options.inherited;
    let (pid, fds) = (pid.as_deref(), fds.as_deref());
    let mut listeners = inherited_listeners(pid, fds)?;
    for address in &options.listen {
        listeners.extend(Listener::bind_tcp(address).await?);
    }
    if let Some(path) = &options.unix {
        listeners.push(Listener::bind_unix(path).await?);
    }
    if listeners.is_empty() {
        listeners.extend(Listener::bind_tcp(LOOPBACK).await?);
    }
    Ok(listeners)
}

/// SIGTERM, or Ctrl-C.
fn shutdown() -> Result<impl Future<Output = ()>> {
    let mut signals = EndSignals::catch(HangUp::Default)?;
    Ok(async move {
        signals.received().await;
    })
}

/// Prints where to attach, in lines that can be pasted.
fn announce(
    catalog: &Catalog,
    listeners: &[Listener],
    tls: bool,
    http: Option<&Http>,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if let Some(bound) = listeners.first().map(Listener::bound) {
        announce_exports(&mut out, catalog, bound, tls)?;
    }
    if let Some(http) = http {
        http.announce(&mut out)?;
    }
    out.flush()
}

fn announce_exports(
    out: &mut impl Write,
    catalog: &Catalog,
    bound: &Bound,
    tls: bool,
) -> io::Result<()> {
    let repositories = catalog.repositories();
    let first = repositories.first().map_or("REPO", String::as_str);
    let (uri, client) = match bound {
        Bound::Tcp(address) => tcp_client(*address, first, tls),
        Bound::Unix(path) => {
            let client = format!("nbd-client -unix {}", path.display());
            let address = Address::Unix(path.clone());
            (uri(address, first), client)
        }
        // Only the service manager that passed it knows how to reach it.
        Bound::UnixWithoutPath => return Ok(()),
    };
    let many = match repositories.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more repositories)", count - 1),
    };
    writeln!(out, "serving {uri}{many}")?;
    writeln!(out, "  attach:  sudo blockd attach '{uri}' MOUNTPOINT")?;
    writeln!(
        out,
        "  or:      sudo {client} /dev/nbd0 -N {first} -b 4096 && sudo mount -o ro /dev/nbd0 MOUNTPOINT"
    )
}

fn uri(address: Address, export: &str) -> NbdUri {
    NbdUri {
        address,
        export: export.to_owned(),
    }
}

/// The URI, and the command line of `nbd-client` up to the device.
fn tcp_client(address: SocketAddr, export: &str, tls: bool) -> (NbdUri, String) {
    let (ip, port) = (address.ip(), address.port());
    let host = if ip.is_unspecified() || ip.is_loopback() {
        "localhost".to_owned()
    } else {
        ip.to_string()
    };
    let bracketed = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    let mut client = format!("nbd-client {bracketed} {port}");
    if tls {
        client += " -x -A FOLDER/ca-cert.pem";
    }
    let tls = tls.then(|| Tls {
        certificates: Some("FOLDER".into()),
    });
    (uri(Address::Tcp { host, port, tls }, export), client)
}
