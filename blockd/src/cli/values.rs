//! Values that several command lines take.

use std::{
    env,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{self, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::units;
use blockd_nbd::uri::{Address, NbdUri, UriError};

/// `30s`, `500ms`, `2m`, or plain seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    units::parse_time(text)
}

/// `512M`, `4G`, or plain bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    units::parse_size(text).ok_or_else(|| "expected a size like 512M or 4G".to_owned())
}

/// `HOST:PORT`, or a port of this host only.
pub(crate) fn http_address(text: &str) -> Result<String, String> {
    if text.parse::<u16>().is_ok() {
        return Ok(format!("localhost:{text}"));
    }
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(_) => Ok(text.to_owned()),
        None => Err("expected HOST:PORT, as in 127.0.0.1:9809 or [::]:9809, or a port".to_owned()),
    }
}

/// The same of what is held in memory.
fn memory_size(text: &str) -> Result<usize, String> {
    let bytes = size(text)?;
    usize::try_from(bytes).map_err(|_| format!("{bytes} bytes are more than can be addressed"))
}

/// The same of what requests take, which is counted in 32 bits.
pub(crate) fn request_memory(text: &str) -> Result<u32, String> {
    let bytes = size(text)?;
    u32::try_from(bytes).map_err(|_| "expected a size below 4G".to_owned())
}

/// The state directory of the server, and how much memory it uses.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// The state directory: snapshots of what was opened, and spooled blobs
    /// [default: /var/lib/blockd, or blockd in `XDG_STATE_HOME`]
    #[arg(long, env = "BLOCKD_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Memory for cached blobs and trees.
    #[arg(long, env = "BLOCKD_CACHE", value_name = "SIZE", default_value = "512M",
          value_parser = memory_size)]
    pub cache: usize,
}

impl StoreArgs {
    /// The state directory that was given, else the default.
    ///
    /// # Errors
    ///
    /// As [`default_state`].
    pub(super) fn state(&self) -> Result<PathBuf> {
        self.state.clone().map_or_else(default_state, Ok)
    }
}

/// A path that means the same in any directory.
pub(crate) fn absolute(path: &PathBuf) -> Result<PathBuf> {
    path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

/// An NBD URI whose paths mean the same in any directory: whoever connects may be
/// a process in the background, which has another.
pub(crate) fn uri(text: &str) -> Result<NbdUri, String> {
    let uri = text
        .parse::<NbdUri>()
        .map_err(|error: UriError| error.to_string())?;
    uri.absolute()
        .map_err(|error| format!("{text:?}: cannot find the current directory: {error}"))
}

/// This program, to start it once more.
pub(crate) fn running_program() -> Result<PathBuf> {
    env::current_exe().context("cannot find the running program")
}

/// `/var/lib/blockd` for root, else below the user's state directory (XDG
/// Base Directory Specification); for a user who has none, as a service may be, a
/// directory of its own among the temporary files.
///
/// # Errors
///
/// When that directory is another user's.
pub(crate) fn default_state() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/blockd".into());
    }
    let directory = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let home = || directory("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = directory("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
    match state {
        Some(state) => Ok(state.join("blockd")),
        None => temporary_state(),
    }
}

/// Everybody may make directories beside it, so it is made at once, and used only if
/// it is this user's and nobody else's.
fn temporary_state() -> Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let state = env::temp_dir().join(format!("blockd-{user}"));
    let shown = state.display();
    match DirBuilder::new().mode(0o700).create(&state) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {shown}: give --state DIR"));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(&state).with_context(|| format!("cannot read {shown}"))?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        bail!(
            "neither HOME nor XDG_STATE_HOME is set, and {shown} is not a directory of this user's \
             alone: say where the state is kept with --state DIR"
        );
    }
    Ok(state)
}

/// Servers that stand in for one another: where one is asked by TLS over a network, all
/// are, or whoever can keep it from answering chooses a server that proves nothing.
///
/// # Errors
///
/// When there is one without TLS, and `allow_clear` is not given.
pub(crate) fn check_tls<'a>(
    servers: impl Iterator<Item = &'a NbdUri> + Clone,
    allow_clear: bool,
) -> Result<()> {
    let is_tcp = |server: &&NbdUri, wanted: bool| matches!(&server.address, Address::Tcp { tls, .. } if tls.is_some() == wanted);
    let (mut protected, mut clear) = (servers.clone(), servers);
    let (Some(protected), Some(clear)) = (
        protected.find(|server| is_tcp(server, true)),
        clear.find(|server| is_tcp(server, false)),
    ) else {
        return Ok(());
    };
    if allow_clear {
        return Ok(());
    }
    bail!(
        "{clear} has no TLS, and would stand in for {protected}: reads would go there in clear, \
         and nobody could tell who answers. Use nbds:// for all of them, or accept that with \
         --allow-clear"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_host_only() {
        assert_eq!(http_address("9809").unwrap(), "localhost:9809");
        assert_eq!(http_address("[::]:0").unwrap(), "[::]:0");
        for wrong in ["", ":9809", "host", "99999", "unix:/run/x"] {
            assert!(http_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn servers_without_tls_do_not_stand_in_for_those_with_it() {
        let check = |texts: &[&str], allow_clear| {
            let servers: Vec<NbdUri> = texts.iter().map(|text| text.parse().unwrap()).collect();
            check_tls(servers.iter(), allow_clear).map_err(|error| error.to_string())
        };
        let (tls, clear, unix) = ("nbds://a/x", "nbd://b/x", "nbd+unix:///x?socket=s");
        for servers in [
            &[tls, tls][..],
            &[clear, clear],
            &[clear, unix],
            &[tls, unix],
            &[],
        ] {
            assert_eq!(check(servers, false), Ok(()), "{servers:?}");
        }
        for servers in [[tls, clear], [clear, tls]] {
            let error = check(&servers, false).unwrap_err();
            assert!(error.contains("stand in for nbds://a"), "{error}");
            assert!(error.contains("--allow-clear"), "{error}");
            assert_eq!(check(&servers, true), Ok(()));
        }
    }
}
