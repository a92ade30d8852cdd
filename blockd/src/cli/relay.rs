//! The command line of `relay`, and the hidden one of the relay in the
//! background.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Args, builder::FalseyValueParser};

use super::{
    log::{self, LogArgs},
    token_file::TokenFileArgs,
    values::{absolute, check_tls, running_program, size, time, uri},
};
use crate::{
    log::LogFormat,
    relay::{self, Inherited, RelayOptions, RelayProgram},
};
use blockd_nbd::uri::NbdUri;

/// Relay an export of remote servers to this host.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct RelayArgs {
    /// The export, on one server or on several
    #[arg(required = true, value_name = "URI", value_parser = uri)]
    #[arg(help = "nbd://HOST[:PORT]/REPO[@REV][:KEY=VALUE]…, once for each server that has it")]
    pub uris: Vec<NbdUri>,

    /// The token that the servers ask for.
    #[command(flatten)]
    pub token: TokenFileArgs,

    /// Let servers without TLS (nbd://) stand in for servers with it (nbds://)
    #[arg(long, env = "BLOCKD_ALLOW_CLEAR", value_parser = FalseyValueParser::new())]
    pub allow_clear: bool,

    /// Serve it on this unix socket, to its owner only
    #[arg(long, env = "BLOCKD_RELAY_UNIX", value_name = "PATH")]
    pub unix: PathBuf,

    /// Show it as well as the file `disk` of a FUSE file system mounted here;
    /// the relay ends when that is unmounted
    #[arg(long, value_name = "DIR")]
    pub fuse: Option<PathBuf>,

    /// Accept writes: changed blocks are stored in this directory, and read
    /// from there after a restart. They belong to this one commit
    #[arg(long, env = "BLOCKD_RELAY_COW", value_name = "DIR")]
    pub cow: Option<PathBuf>,

    /// Write the status, as JSON, to every client of this unix socket
    #[arg(long, value_name = "PATH")]
    pub status: Option<PathBuf>,

    /// Cache what was read in this directory, once the control socket is asked
    /// to hydrate
    #[arg(long, env = "BLOCKD_RELAY_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,

    /// Most data that is cached there
    #[arg(
        long,
        env = "BLOCKD_CACHE_SIZE",
        value_name = "SIZE",
        default_value = "4G"
    )]
    #[arg(value_parser = size)]
    pub cache_size: u64,

    /// Accept requests on this unix socket: hydrate
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,

    /// Write the process id to this file
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

    /// Read this much of the disk's front first; from a distant server at once
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
    pub front: u64,

    /// Go to the background, and report on standard output when it is ready
    #[arg(long)]
    pub daemon: bool,

    /// What the log looks like
    #[command(flatten)]
    pub log: LogArgs,
}

const HELP: &str = "\
The first server that answers is asked for the export by the name given; the
server answers with its canonical name, and from then on every server is asked
for that. A server that shows another disk is refused: two commits are never mixed.

  * A lost connection is opened again, and its reads are sent again.
  * A server that is silent for 300 ms is passed over, if there is another.
  * A read that no server answers within --timeout fails (EIO). After that,
    reads fail after 1 s until a server answers again; then all goes on.

  blockd relay nbd://a/team/app@main nbd://b/team/app@main --unix /run/app.sock
  nbd-client -unix /run/app.sock /dev/nbd0 -b 4096
  socat - UNIX-CONNECT:/run/app.status      (the socket of --status)

With --cow the disk can be written, and mounted read-write (ask for free space
with :free=SIZE). What was flushed (fsync) survives a kill and a power failure;
what was not may be lost. Use either the socket or the FUSE file then, not both.

With --cache and --control the whole disk can be brought to this host: all its
data is read in the background, after reads on demand, into an unnamed file in
DIR. What is cached needs no server any more; --status reports the progress.
When DIR is full the cache is given up, and reads go on as before.

  blockd relay … --cache /var/cache --control /run/app.control
  echo hydrate | socat - UNIX-CONNECT:/run/app.control

In the background it inherits no variables of the environment but BLOCKD_LOG,
BLOCKD_LOG_FORMAT, RUST_BACKTRACE, PATH, SSL_CERT_FILE and SSL_CERT_DIR.

SIGTERM ends it. It locks its memory and asks the kernel to spare it when
memory is short, where permitted: a disk whose server is swapped out to that
disk hangs.";

impl RelayArgs {
    /// The options, with absolute paths.
    ///
    /// # Errors
    ///
    /// A path is empty, or relative to a current directory that is gone; or servers
    /// without TLS would stand in for servers with it.
    pub fn options(&self) -> Result<RelayOptions> {
        check_tls(self.uris.iter(), self.allow_clear)?;
        let (uris, token) = self.token.taken_from(&self.uris)?;
        let optional = |path: &Option<PathBuf>| path.as_ref().map(absolute).transpose();
        Ok(RelayOptions {
            uris,
            token,
            unix: absolute(&self.unix)?,
            fuse: optional(&self.fuse)?,
            cow: optional(&self.cow)?,
            status: optional(&self.status)?,
            cache: optional(&self.cache)?,
            cache_size: self.cache_size,
            control: optional(&self.control)?,
            pid_file: optional(&self.pid_file)?,
            timeout: self.timeout,
            connections: self.connections,
            front: self.front,
        })
    }

    /// Relays, here or in the background.
    ///
    /// # Errors
    ///
    /// As [`relay::relay`] and [`relay::launch`].
    pub fn run(&self) -> Result<()> {
        let options = self.options()?;
        if self.daemon {
            let mut program = relay_program()?;
            if self.log.format() == LogFormat::Json {
                let variable = (log::VARIABLE.into(), "json".into());
                program.environment.push(variable);
            }
            return relay::launch(&program, &options);
        }
        relay::relay(&options)
    }
}

/// Relay in the background, with the options on standard input (started by
/// attach, and by relay --daemon).
#[derive(Args, Clone, Debug)]
pub struct RelayDaemonArgs {
    /// What the log looks like
    #[command(flatten)]
    pub log: LogArgs,

    /// The relay's socket, to be seen in a list of processes; what counts are
    /// the options on standard input
    pub socket: Option<PathBuf>,
}

impl RelayDaemonArgs {
    /// Is the relay in the background.
    ///
    /// # Errors
    ///
    /// Standard input holds no options; else as [`relay::serve_detached`].
    pub fn run(&self) -> Result<()> {
        let inherited = Inherited::take().context("cannot find the inherited files")?;
        let options = RelayOptions::from_reader(io::stdin())?;
        relay::serve_detached(&options, inherited)
    }
}

/// The variables that a relay in the background inherits: what it logs, how it
/// reports a panic, where fusermount3 is found, and which certificate
/// authorities are trusted. No others: `BLOCKD_RELAY_COW` and the like are for
/// the command line of `relay`.
const RELAY_ENVIRONMENT: [&str; 6] = [
    "BLOCKD_LOG",
    log::VARIABLE,
    "RUST_BACKTRACE",
    "PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// This program, to be started as a relay in the background.
pub(crate) fn relay_program() -> Result<RelayProgram> {
    let inherited = RELAY_ENVIRONMENT
        .iter()
        .filter_map(|name| Some((*name, env::var_os(name)?)));
    let environment = inherited.map(|(name, value)| {
        let value = match name {
            "PATH" | "SSL_CERT_DIR" => absolute_paths(&value)?,
            "SSL_CERT_FILE" if !value.is_empty() => absolute(&value.into())?.into(),
            _ => value,
        };
        Ok((name.into(), value))
    });
    Ok(RelayProgram {
        executable: running_program()?,
        environment: environment.collect::<Result<_>>()?,
    })
}

/// A list of paths, as PATH is, that means the same in any directory.
fn absolute_paths(list: &OsStr) -> Result<OsString> {
    let paths = env::split_paths(list).map(|path| {
        if path.as_os_str().is_empty() {
            return Ok(path);
        }
        absolute(&path)
    });
    let paths = paths.collect::<Result<Vec<_>>>()?;
    env::join_paths(paths).context("the current directory has a colon in its path")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::relay::DEFAULT_CACHE_SIZE;
    use blockd_nbd::uri::Address;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        relay: RelayArgs,
    }

    #[test]
    fn paths_are_made_absolute() {
        let words = ["blockd", "nbd://a/x", "--unix", "s", "--cow", "c"];
        let options = Program::parse_from(words).relay.options().unwrap();
        let here = env::current_dir().unwrap();
        assert_eq!(options.unix, here.join("s"));
        assert_eq!(options.cow, Some(here.join("c")));
        assert_eq!(options.fuse, None);

        let words = ["blockd", "nbd+unix:///x?socket=s", "--unix", "u"];
        let options = Program::parse_from(words).relay.options().unwrap();
        let socket = options.uris[0].address.clone();
        assert_eq!(socket, Address::Unix(here.join("s")));

        let list = absolute_paths("/a:b::c/d".as_ref()).unwrap();
        let here = here.display();
        assert_eq!(list, OsString::from(format!("/a:{here}/b::{here}/c/d")));
    }

    #[test]
    fn the_default_cache_size_is_the_one_of_attach() {
        let command = Program::command();
        let mut options = command.get_arguments();
        let cache_size = options
            .find(|option| option.get_id() == "cache_size")
            .unwrap();
        let [default] = cache_size.get_default_values() else {
            panic!("it has one default value");
        };
        assert_eq!(size(default.to_str().unwrap()), Ok(DEFAULT_CACHE_SIZE));
    }
}
