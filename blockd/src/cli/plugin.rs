//! The command line of `plugin`.

use std::{env, iter, num::NonZeroUsize, path::PathBuf, time::Duration};

use anyhow::{Result, bail};
use clap::{Args, Subcommand, builder::FalseyValueParser};

use super::{
    attach::ViaArg,
    log::LogArgs,
    relay::relay_program,
    state::StateArgs,
    token_file::TokenFileArgs,
    values::{absolute, check_tls, default_state, running_program, time, uri},
};
use crate::{
    attach::{AttachOptions, RelaySettings, UpperKind, Via},
    plugin::docker::DockerOptions,
};
use blockd_nbd::uri::NbdUri;

/// Attach exports for containers, which need no privileges for it.
#[derive(Args, Clone, Debug)]
pub struct PluginArgs {
    /// For which container engine
    #[command(subcommand)]
    pub engine: Engine,
}

/// For which container engine.
#[derive(Clone, Debug, Subcommand)]
pub enum Engine {
    /// Work trees as volumes of Docker and podman
    Docker(Box<DockerArgs>),
}

/// Work trees as volumes of Docker and podman.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct DockerArgs {
    /// The socket that dockerd connects to; its name is the driver's
    #[arg(long, env = "BLOCKD_PLUGIN_SOCKET", value_name = "PATH")]
    #[arg(default_value = "/run/docker/plugins/blockd.sock")]
    pub socket: PathBuf,

    /// The server that has the exports that volumes are named after
    #[arg(long, env = "BLOCKD_PLUGIN_SERVER", value_name = "URI", value_parser = uri)]
    #[arg(default_value = "nbd://localhost/")]
    #[arg(
        help = "The server that has the exports: nbd://HOST[:PORT]/, nbds://… or nbd+unix:///?socket=PATH"
    )]
    pub server: NbdUri,

    /// Another server that has the same exports; may be repeated
    #[arg(long, env = "BLOCKD_ALSO", value_name = "URI", value_delimiter = ' ')]
    #[arg(value_parser = uri)]
    pub also: Vec<NbdUri>,

    /// The token that the servers ask for; servers of the option uri do not get it.
    #[command(flatten)]
    pub token: TokenFileArgs,

    /// Let servers without TLS (nbd://) stand in for servers with it (nbds://)
    #[arg(long, env = "BLOCKD_ALLOW_CLEAR", value_parser = FalseyValueParser::new())]
    pub allow_clear: bool,

    /// Owner of the files of volumes without the option uid: a plugin is not told the
    /// user of the container
    #[arg(long, env = "BLOCKD_UID", default_value = "0")]
    pub uid: u32,

    /// Group of the files of volumes without the option gid
    #[arg(long, env = "BLOCKD_GID", default_value = "0")]
    pub gid: u32,

    /// Where changes are kept, of volumes without the option upper: state, tmpfs or
    /// tmpfs:SIZE [default: state]
    #[arg(long, env = "BLOCKD_UPPER")]
    pub upper: Option<UpperKind>,

    /// The directory with the records and mountpoints of volumes
    /// [default: /var/lib/blockd/volumes]
    #[arg(long, env = "BLOCKD_VOLUMES", value_name = "DIR")]
    pub volumes: Option<PathBuf>,

    /// How long a read waits for a server before it fails
    #[arg(
        long,
        env = "BLOCKD_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    #[arg(value_parser = time)]
    pub timeout: Duration,

    /// Connections to each server, for each export
    #[arg(long, env = "BLOCKD_CONNECTIONS", default_value = "4")]
    pub connections: NonZeroUsize,

    /// The kind of block device [default: nbd if the kernel has it, else fuse]
    #[arg(long, env = "BLOCKD_VIA")]
    pub via: Option<ViaArg>,

    /// What the log looks like
    #[command(flatten)]
    pub log: LogArgs,

    /// The state directory
    #[command(flatten)]
    pub state: StateArgs,
}

const HELP: &str = "\
The host attaches, and the container gets a bind mount: it needs neither root nor a
capability. The name of a volume is the export, unless the option uri says it:

  blockd plugin docker --server nbd://server/ --uid 1000 --gid 1000 &
  docker run --rm -it --user 1000 --volume-driver blockd -v team/project@main:/workspace IMAGE

  docker volume create --driver blockd --opt uri=team/project@v1.0:history=none --opt readonly v1
  docker volume create --driver blockd --opt uri=nbd://other/project@main --opt uid=1000 mine
  docker run --rm -v mine:/workspace IMAGE

Options: uri=EXPORT|URI uid=N gid=N readonly upper=state|tmpfs[:SIZE] cow=overlay|block.
In `-v` a colon ends the name; with --mount type=volume,source=… it may have one.

Containers with the same volume share its changes. Volumes of one export share the
device and its page cache, and have changes of their own. Changes are kept, and a volume
with changes stays at its commit, until `docker volume rm` removes both.

dockerd starts volumes again when it is restarted, and asks a plugin that is restarted;
what is mounted goes on meanwhile. SIGTERM ends the plugin, and unmounts nothing.

podman: in containers.conf, [engine.volume_plugins] blockd = \"/run/docker/plugins/blockd.sock\"";

impl DockerArgs {
    /// The options of the plugin, completed from the environment.
    ///
    /// # Errors
    ///
    /// When the server's URI names an export, a path cannot be found, or servers
    /// without TLS would stand in for servers with it.
    pub fn options(&self) -> Result<DockerOptions> {
        if !self.server.export.is_empty() {
            bail!(
                "--server {}: leave the export out, volumes name it",
                self.server
            );
        }
        check_tls(iter::once(&self.server).chain(&self.also), self.allow_clear)?;
        let (mut uris, token) = self
            .token
            .taken_from(iter::once(&self.server).chain(&self.also))?;
        let also = uris.split_off(1);
        let volumes = match &self.volumes {
            Some(volumes) => absolute(volumes)?,
            None => default_state()?.join("volumes"),
        };
        let attach = AttachOptions {
            relay: RelaySettings {
                uri: uris.remove(0),
                also,
                token,
                timeout: self.timeout,
                connections: self.connections,
                cache_size: None,
                program: relay_program()?,
            },
            mountpoint: volumes.clone(),
            read_only: false,
            // The git in a container has no blockd to ask.
            fsmonitor: false,
            upper: self.upper,
            accept_loss: false,
            any_ext4: false,
            via: self.via.map(Via::from),
            state: self.state.path()?,
            uid: self.uid,
            gid: self.gid,
            hydrate: false,
            program: running_program()?,
        };
        let variable = |name| Some(env::var_os(name)?.to_string_lossy().into_owned());
        Ok(DockerOptions {
            socket: absolute(&self.socket)?,
            volumes,
            attach,
            inherited: (variable("LISTEN_PID"), variable("LISTEN_FDS")),
        })
    }
}
