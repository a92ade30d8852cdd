//! `blockd serve`: from the command line to a running server.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::chdir;
use tracing::info;

use blockd_nbd::{
    Exports, Limits,
    server::{Bound, Listener, Server, inherited_listeners, serve_stdio},
    tls,
    uri::DEFAULT_PORT,
};
pub mod catalog;

use self::catalog::{Catalog, CatalogOptions};
use crate::{
    cli::{Inherited, Serve},
    signals::{EndSignals, HangUp},
};

/// Where a server listens that was not told where.
const LOOPBACK: &str = "localhost:10809";

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// A sentence for the person who started it.
pub async fn serve(args: &Serve) -> Result<()> {
    let args = &args.absolute()?;
    // The folder it was started in may go, and gix opens nothing without one.
    chdir("/").context("cannot leave the current directory")?;
    let options = CatalogOptions {
        repos: args.repos.clone(),
        state: args.store.state(),
        cache: args.store.cache,
    };
    let catalog = Arc::new(Catalog::new(&options)?);
    let limits = Limits::default();
    // Before anybody is told that we are here.
    let shutdown = shutdown()?;
    if args.stdio {
        return Ok(serve_stdio(catalog, limits, shutdown).await?);
    }
    let certificates = args.tls.as_deref();
    let tls = certificates.map(|folder| tls::acceptor(folder, args.tls_verify_peer));
    let tls = tls.transpose().context("no TLS with --tls")?;
    let listeners = listeners(args).await?;
    announce(&catalog, &listeners, tls.is_some()).context("cannot say where the server listens")?;
    let exports: Arc<dyn Exports> = Arc::<Catalog>::clone(&catalog);
    let tidy = tokio::spawn(tidy(Arc::clone(&catalog), args.keep));
    Server {
        listeners,
        limits,
        tls,
        exports,
    }
    .run(shutdown)
    .await;
    tidy.abort();
    info!(blob_bytes_inflated = catalog.inflated(), "stopped");
    Ok(())
}

/// Looks every hour for snapshots that nobody has opened for so many days.
async fn tidy(catalog: Arc<Catalog>, days: u32) {
    let mut hours = tokio::time::interval(HOUR);
    loop {
        hours.tick().await;
        catalog
            .expire(HOUR.saturating_mul(24).saturating_mul(days))
            .await;
    }
}

async fn listeners(args: &Serve) -> Result<Vec<Listener>> {
    let inherited = Inherited::of_environment();
    let (pid, fds) = (inherited.pid.as_deref(), inherited.fds.as_deref());
    let mut listeners = inherited_listeners(pid, fds)?;
    for address in &args.listen {
        listeners.extend(Listener::bind_tcp(address).await?);
    }
    if let Some(path) = &args.unix {
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

/// Says where to attach, in lines that can be pasted.
fn announce(catalog: &Catalog, listeners: &[Listener], tls: bool) -> io::Result<()> {
    let repositories = catalog.repositories();
    let first = repositories.first().map_or("REPO", String::as_str);
    let Some(bound) = listeners.first().map(Listener::bound) else {
        return Ok(());
    };
    let (uri, client) = match bound {
        Bound::Tcp(address) => of_tcp(*address, first, tls),
        Bound::Unix(path) => {
            let path = path.display();
            (
                format!("nbd+unix:///{first}?socket={path}"),
                format!("nbd-client -unix {path}"),
            )
        }
        // Only the service manager that passed it knows how to reach it.
        Bound::UnixWithoutPath => return Ok(()),
    };
    let many = match repositories.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more repositories)", count - 1),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "serving {uri}{many}")?;
    writeln!(out, "  attach:  sudo blockd attach '{uri}' MOUNTPOINT")?;
    writeln!(
        out,
        "  or:      sudo {client} /dev/nbd0 -N {first} -b 4096 && sudo mount -o ro /dev/nbd0 MOUNTPOINT"
    )?;
    out.flush()
}

/// The URI, and how `nbd-client` begins.
fn of_tcp(address: SocketAddr, export: &str, tls: bool) -> (String, String) {
    let (ip, port) = (address.ip(), address.port());
    let host = if ip.is_unspecified() || ip.is_loopback() {
        "localhost".to_owned()
    } else if ip.is_ipv6() {
        format!("[{ip}]")
    } else {
        ip.to_string()
    };
    let shown = match port {
        DEFAULT_PORT => host.clone(),
        _ => format!("{host}:{port}"),
    };
    let client = format!("nbd-client {host} {port}");
    if tls {
        let uri = format!("nbds://{shown}/{export}?tls-certificates=FOLDER");
        return (uri, format!("{client} -x -A FOLDER/ca-cert.pem"));
    }
    (format!("nbd://{shown}/{export}"), client)
}
