//! Serves a file from memory, in each of the ways that the library offers. The benches
//! measure it.
//!
//! ```text
//! cargo run --release -p blockd-nbd --example memory_server -- FILE (--unix PATH | HOST:PORT | --stdio | --inherited)
//! ```

use std::{env, error::Error, path::Path};

use blockd_nbd::{
    Limits,
    memory::{MemoryExport, MemoryExports},
    server::{Listener, Server, inherited_listeners, serve_stdio},
};
use tokio::signal::ctrl_c;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let usage = "memory_server FILE (--unix PATH | HOST:PORT | --stdio | --inherited)";
    let [file, listen @ ..] = arguments.as_slice() else {
        return Err(usage.into());
    };
    let exports = MemoryExports::new([MemoryExport::new("memory", std::fs::read(file)?)]);
    let interrupted = async { ctrl_c().await.expect("a handler for SIGINT") };
    let listeners = match listen {
        ["--stdio"] => return Ok(serve_stdio(exports, Limits::default(), interrupted).await?),
        ["--inherited"] => {
            let [pid, fds] = ["LISTEN_PID", "LISTEN_FDS"].map(|name| env::var(name).ok());
            inherited_listeners(pid.as_deref(), fds.as_deref())?
        }
        ["--unix", path] => vec![Listener::bind_unix(Path::new(path)).await?],
        [address] => Listener::bind_tcp(address).await?,
        _ => return Err(usage.into()),
    };
    Server {
        listeners,
        tls: None,
        limits: Limits::default(),
        exports,
    }
    .run(interrupted)
    .await;
    Ok(())
}
