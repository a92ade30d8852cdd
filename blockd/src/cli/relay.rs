//! The command line of `relay`.

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Args;

use super::values::{absolute, size, time};
use blockd_nbd::uri::NbdUri;

/// Relay an export of remote servers to this host.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct RelayArgs {
    /// The export, on one server or on several
    #[arg(required = true, value_name = "URI")]
    #[arg(help = "nbd://HOST[:PORT]/REPO[@REV][:KEY=VALUE]…, once for each server that has it")]
    pub uris: Vec<NbdUri>,

    /// Serve it on this unix socket
    #[arg(long, env = "BLOCKD_RELAY_UNIX", value_name = "PATH")]
    pub unix: PathBuf,

    /// Show it as the file `disk` of a FUSE file system mounted here as well;
    /// the relay ends when that is unmounted
    #[arg(long, value_name = "DIR")]
    pub fuse: Option<PathBuf>,

    /// Let it be written: changed blocks go to files in this directory, and
    /// are found there again. They belong to this one commit
    #[arg(long, env = "BLOCKD_RELAY_COW", value_name = "DIR")]
    pub cow: Option<PathBuf>,

    /// Tell how it fares, in JSON, to whoever connects to this unix socket
    #[arg(long, value_name = "PATH")]
    pub status: Option<PathBuf>,

    /// Keep what was read in this directory, once that is asked for on the
    /// control socket
    #[arg(long, env = "BLOCKD_RELAY_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// The most that is kept there
    #[arg(
        long,
        env = "BLOCKD_CACHE_SIZE",
        value_name = "SIZE",
        default_value = "4G"
    )]
    #[arg(value_parser = size)]
    pub cache_size: u64,

    /// Do what whoever connects to this unix socket says: hydrate
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,

    /// Write the process to this file
    #[arg(long, value_name = "PATH")]
    pub pid_file: Option<PathBuf>,

    /// How long a read waits for a server before it fails
    #[arg(long, env = "BLOCKD_RELAY_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = time)]
    pub timeout: Duration,

    /// Connections to the server that is read from
    #[arg(
        long,
        env = "BLOCKD_CONNECTIONS",
        value_name = "N",
        default_value = "4"
    )]
    pub connections: NonZeroUsize,

    /// So much of the disk's front is read first; from a server far away at
    /// once
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
    pub front: u64,

    /// Go to the background, and say on standard output when it is ready
    #[arg(long)]
    pub daemon: bool,

    /// This is the process in the background
    #[arg(long, hide = true)]
    pub detached: bool,
}

const HELP: &str = "\
The first server that answers is asked for the export by the name given; what
it shows has a canonical name, and from then on every server is asked for that.
A server that shows another disk is refused: two commits are never mixed.

  * A connection that is lost is opened again, and its reads are sent again.
  * A server that is silent for 300 ms is passed over, if there is another.
  * A read that no server answers in --timeout fails (EIO). Once one has, the
    others fail after 1 s, until a server is back: then all goes on by itself.

  blockd relay nbd://a/team/app@main nbd://b/team/app@main --unix /run/app.sock
  nbd-client -unix /run/app.sock /dev/nbd0 -b 4096
  socat - UNIX-CONNECT:/run/app.status      (what --status tells)

With --cow the disk can be written, and mounted read-write (ask for room with
:free=SIZE). What was flushed (fsync) outlives a kill and a loss of power; what
was not may be lost. Use either the socket or the FUSE file then, not both.

With --cache and --control the whole disk can be brought to this host: all that
is data is read in the background, behind reads on demand, into a file without
a name in DIR. What is there needs no server any more; --status says how far it
is. When DIR is full the file goes, and reads go on as before.

  blockd relay … --cache /var/cache --control /run/app.control
  echo hydrate | socat - UNIX-CONNECT:/run/app.control

SIGTERM ends it. It locks its memory and asks the kernel to spare it when
memory is short, where it may: a disk that swaps behind itself stands still.";

impl RelayArgs {
    /// The same with paths that hold in any directory.
    pub(crate) fn absolute(&self) -> Result<Self> {
        Ok(Self {
            unix: absolute(&self.unix)?,
            fuse: self.fuse.as_ref().map(absolute).transpose()?,
            cow: self.cow.as_ref().map(absolute).transpose()?,
            status: self.status.as_ref().map(absolute).transpose()?,
            cache: self.cache.as_ref().map(absolute).transpose()?,
            control: self.control.as_ref().map(absolute).transpose()?,
            pid_file: self.pid_file.as_ref().map(absolute).transpose()?,
            ..self.clone()
        })
    }

    /// The command line of the process in the background.
    pub(crate) fn detached(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["relay".into(), "--detached".into()];
        let timeout = format!("{}ms", self.timeout.as_millis());
        arguments.extend(["--timeout".into(), timeout.into()]);
        arguments.extend(["--connections".into(), self.connections.to_string().into()]);
        arguments.extend(["--cache-size".into(), self.cache_size.to_string().into()]);
        arguments.extend(["--front".into(), self.front.to_string().into()]);
        let paths = [
            ("--unix", Some(&self.unix)),
            ("--fuse", self.fuse.as_ref()),
            ("--cow", self.cow.as_ref()),
            ("--status", self.status.as_ref()),
            ("--cache", self.cache.as_ref()),
            ("--control", self.control.as_ref()),
            ("--pid-file", self.pid_file.as_ref()),
        ];
        for (option, path) in paths {
            if let Some(path) = path {
                arguments.extend([option.into(), path.into()]);
            }
        }
        arguments.push("--".into());
        arguments.extend(self.uris.iter().map(|uri| uri.to_string().into()));
        arguments
    }
}
