//! The command line of `serve`.

use std::{env, path::PathBuf, time::Duration};

use anyhow::Result;
use blockd_nbd::{Limits, tls::VerifyPeer};
use clap::{Args, builder::FalseyValueParser};

use super::{
    log::LogArgs,
    values::{StoreArgs, absolute, http_address, request_memory, size, time},
};
use crate::{
    open_files,
    serve::{
        HttpOptions, Inherited, ServeOptions,
        catalog::{Access, Bound, CatalogOptions, ReachableLimits, RevisionLimits},
    },
};

/// Serve repositories over NBD.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct ServeArgs {
    /// One repository, or a directory with repositories below it.
    #[arg(long, env = "BLOCKD_REPOS", value_name = "DIR", default_value = ".")]
    pub repos: PathBuf,
    /// Repositories may lead into this directory too, by a link, an alternate or
    /// a .git file; may be given more than once. Without it they may lead nowhere
    /// out of --repos.
    #[arg(long, env = "BLOCKD_ALLOW", value_name = "DIR", value_delimiter = ',')]
    pub allow: Vec<PathBuf>,
    /// Who may open what: rules, and the keys of tokens (blockd check-config). SIGHUP
    /// reads it anew. Without it, whoever connects may open everything.
    #[arg(long, env = "BLOCKD_ACCESS", value_name = "FILE")]
    pub access: Option<PathBuf>,
    /// Show the history of repositories that hide refs (transfer.hideRefs or
    /// uploadpack.hideRefs), hidden objects and all, and open hidden refs. Without
    /// it their files are served, with history=none.
    #[arg(long, env = "BLOCKD_SHOW_HIDDEN", value_parser = FalseyValueParser::new())]
    pub show_hidden: bool,
    /// Listen on this address; may be given more than once. Without it, and
    /// without --unix: port 10809 of this host only.
    #[arg(
        long,
        env = "BLOCKD_LISTEN",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    pub listen: Vec<String>,
    /// End when nobody is connected, and nobody holds a lock on this file (given by
    /// attach).
    #[arg(long, value_name = "FILE", hide = true)]
    pub ends_unused: Option<PathBuf>,
    /// Listen on a unix socket.
    #[arg(long, env = "BLOCKD_UNIX", value_name = "PATH")]
    pub unix: Option<PathBuf>,
    /// Serve one connection on standard input and output, then end.
    #[arg(long, conflicts_with_all = ["listen", "unix"])]
    pub stdio: bool,
    /// Require TLS on TCP, with ca-cert.pem, server-cert.pem and
    /// server-key.pem in this folder.
    #[arg(
        long,
        env = "BLOCKD_TLS",
        value_name = "FOLDER",
        conflicts_with = "stdio"
    )]
    pub tls: Option<PathBuf>,
    /// Require a client certificate that ca-cert.pem has signed, for a client
    /// (extended key usage clientAuth).
    #[arg(long, env = "BLOCKD_TLS_VERIFY_PEER", requires = "tls",
          value_parser = FalseyValueParser::new())]
    pub tls_verify_peer: bool,
    /// With --tls-verify-peer: accept certificates without extended key usages
    /// too. A server's certificate may be one of these.
    #[arg(long, env = "BLOCKD_TLS_ANY_USAGE", requires = "tls_verify_peer",
          value_parser = FalseyValueParser::new())]
    pub tls_any_usage: bool,
    /// Retain the snapshot of a repository's history that an image shows until
    /// nobody has opened the image for this many days.
    #[arg(long, env = "BLOCKD_KEEP", value_name = "DAYS", default_value_t = 30)]
    pub keep: u32,
    /// How many connections may be open; 0: as many as the open files allow, up to
    /// 10000. One more closes the one that was idle for longest.
    #[arg(
        long,
        env = "BLOCKD_CONNECTIONS",
        value_name = "N",
        default_value_t = 0
    )]
    pub connections: usize,
    /// How many connections one peer may have: a TCP address, or a user of the
    /// unix socket.
    #[arg(
        long,
        env = "BLOCKD_PEER_CONNECTIONS",
        value_name = "N",
        default_value_t = 1000
    )]
    pub peer_connections: usize,
    /// How long a connection must be idle before it may be closed for another,
    /// where there are no more.
    #[arg(long, env = "BLOCKD_IDLE_TIME", value_name = "TIME", default_value = "60s",
          value_parser = time)]
    pub idle_time: Duration,
    /// How many connections may be in the handshake. One more closes the oldest
    /// silent one.
    #[arg(
        long,
        env = "BLOCKD_HANDSHAKES",
        value_name = "N",
        default_value_t = 512
    )]
    pub handshakes: usize,
    /// How many of them may be of one peer.
    #[arg(
        long,
        env = "BLOCKD_PEER_HANDSHAKES",
        value_name = "N",
        default_value_t = 128
    )]
    pub peer_handshakes: usize,
    /// How long a client may leave its replies unread before its connection is
    /// closed.
    #[arg(long, env = "BLOCKD_UNREAD_TIME", value_name = "TIME", default_value = "10m",
          value_parser = time)]
    pub unread_time: Duration,
    /// Memory for the requests of all clients that are being served, until their
    /// replies are sent; less than 4G.
    #[arg(long, env = "BLOCKD_REQUESTS", value_name = "SIZE", default_value = "1G",
          value_parser = request_memory)]
    pub requests: u32,
    /// How much of it is for one peer.
    #[arg(long, env = "BLOCKD_PEER_REQUESTS", value_name = "SIZE", default_value = "512M",
          value_parser = request_memory)]
    pub peer_requests: u32,
    /// How many commits a revision like main~N may step over.
    #[arg(long, env = "BLOCKD_REVISION_COMMITS", value_name = "N",
          default_value_t = RevisionLimits::COMMITS)]
    pub revision_commits: u64,
    /// How long a revision may take to be found.
    #[arg(long, env = "BLOCKD_REVISION_TIME", value_name = "TIME", default_value = "10s",
          value_parser = time)]
    pub revision_time: Duration,
    /// Serve revisions that search the history, like HEAD^{/TEXT}.
    #[arg(long, env = "BLOCKD_REVISION_SEARCH", value_parser = FalseyValueParser::new())]
    pub revision_search: bool,
    /// How many bytes the pack may have that is made for history=reachable, in the
    /// state directory. Its objects count as plans do, some 200 bytes each.
    #[arg(long, env = "BLOCKD_REACHABLE", value_name = "SIZE", default_value = "1G",
          value_parser = size)]
    pub reachable: u64,
    /// How long it may take to make it.
    #[arg(long, env = "BLOCKD_REACHABLE_TIME", value_name = "TIME", default_value = "60s",
          value_parser = time)]
    pub reachable_time: Duration,
    /// How many bytes of .gitattributes may be in force for a file.
    #[arg(long, env = "BLOCKD_ATTRIBUTES", value_name = "SIZE", default_value = "1M",
          value_parser = size)]
    pub attributes: u64,
    /// How many bytes an image may have in files that .gitattributes has converted
    /// when they are checked out (eol, ident, working-tree-encoding).
    #[arg(long, env = "BLOCKD_CONVERTED", value_name = "SIZE", default_value = "1G",
          value_parser = size)]
    pub converted: u64,
    /// The same for all images in use.
    #[arg(long, env = "BLOCKD_ALL_CONVERTED", value_name = "SIZE", default_value = "16G",
          value_parser = size)]
    pub all_converted: u64,
    /// How much of that for images that one peer has open; three quarters without.
    #[arg(long, env = "BLOCKD_PEER_CONVERTED", value_name = "SIZE", value_parser = size)]
    pub peer_converted: Option<u64>,
    /// Disk for blobs that are too large for memory, in the state directory.
    #[arg(long, env = "BLOCKD_SPOOL", value_name = "SIZE", default_value = "4G",
          value_parser = size)]
    pub spool: u64,
    /// How many bytes the snapshots in the state directory may hold that the
    /// repositories have no longer. Unused ones are removed before, those that were
    /// not opened for longest first.
    #[arg(long, env = "BLOCKD_STATE_LIMIT", value_name = "SIZE", default_value = "1T",
          value_parser = size)]
    pub state_limit: u64,
    /// Memory for the plans of images, in use, kept and being made, beside --cache.
    #[arg(long, env = "BLOCKD_PLANS", value_name = "SIZE", default_value = "512M",
          value_parser = size)]
    pub plans: u64,
    /// How much of it for images that one peer has open, and that are planned for
    /// it; three quarters without.
    #[arg(long, env = "BLOCKD_PEER_PLANS", value_name = "SIZE", value_parser = size)]
    pub peer_plans: Option<u64>,
    /// Show by HTTP at this address, HOST:PORT or a PORT of this host only, what the
    /// server does: / for people, /metrics for Prometheus, /exports, /healthz and
    /// /readyz. Whoever can connect sees the names of the exports that are open.
    #[arg(
        long,
        env = "BLOCKD_HTTP",
        value_name = "ADDR",
        value_parser = http_address,
        conflicts_with = "stdio"
    )]
    pub http: Option<String>,
    /// How many HTTP connections may be open, three quarters of them of one peer. One
    /// more closes the one that was quiet for longest.
    #[arg(
        long,
        env = "BLOCKD_HTTP_CONNECTIONS",
        value_name = "N",
        default_value_t = 64
    )]
    pub http_connections: usize,
    /// What the log looks like.
    #[command(flatten)]
    pub log: LogArgs,
    /// What all exports have in common.
    #[command(flatten)]
    pub store: StoreArgs,
}

const HELP: &str = "\
An export is called REPO[@REV][:key=value]…, for example team/project@v1.2:uid=1000.
  REPO   the path below --repos, with or without .git; empty: the only one
  REV    any revision of git rev-parse that has no colon; default HEAD
  history=full       .git with the whole history, and all else in the packs
  history=reachable  .git with what the commit reaches, and nothing else
  history=none       no .git
  uid=N  gid=N       owner of every file
  free=SIZE          free space, for a client that writes to the disk itself
  head=BRANCH        the branch that HEAD is on
  mtime=SECONDS      the time of every file, since 1970
  index=2|4          the version of .git/index (2)
  token=TOKEN        permits what --access does not (blockd token create)
  path=DIR           only this directory, without .git; stands last

Sockets passed by a service manager (LISTEN_FDS) are served too.";

impl ServeArgs {
    /// The options, with absolute paths and what a service manager has set in
    /// the environment.
    ///
    /// # Errors
    ///
    /// A path is empty, or relative to a current directory that is gone; or there is
    /// no state directory.
    pub fn options(&self) -> Result<ServeOptions> {
        // Before the limits are taken from it.
        open_files::raise_limit();
        Ok(ServeOptions {
            catalog: CatalogOptions {
                repos: absolute(&self.repos)?,
                access: Access {
                    allow: Some(self.allow.iter().map(absolute).collect::<Result<_>>()?),
                    show_hidden: self.show_hidden,
                },
                access_file: self.access.as_ref().map(absolute).transpose()?,
                state: absolute(&self.store.state()?)?,
                cache: self.store.cache,
                revisions: RevisionLimits {
                    commits: self.revision_commits,
                    search: self.revision_search,
                    time: self.revision_time,
                },
                reachable: ReachableLimits {
                    bytes: self.reachable,
                    time: self.reachable_time,
                },
                attribute_bytes: self.attributes,
                plans: bound(self.plans, self.peer_plans),
                converted_bytes: self.converted,
                all_converted: bound(self.all_converted, self.peer_converted),
                spool_bytes: self.spool,
                snapshot_bytes: self.state_limit,
            },
            listen: self.listen.clone(),
            unix: self.unix.as_ref().map(absolute).transpose()?,
            stdio: self.stdio,
            tls: self.tls.as_ref().map(absolute).transpose()?,
            verify_peer: match (self.tls_verify_peer, self.tls_any_usage) {
                (false, _) => VerifyPeer::No,
                (true, false) => VerifyPeer::Client,
                (true, true) => VerifyPeer::AnyUsage,
            },
            keep_days: self.keep,
            limits: self.limits(),
            http: self.http.as_ref().map(|address| HttpOptions {
                address: address.clone(),
                connections: self.http_connections,
            }),
            ends_unused: self.ends_unused.as_ref().map(absolute).transpose()?,
            inherited: inherited(),
        })
    }
}

impl ServeArgs {
    fn limits(&self) -> Limits {
        let files = open_files::server_limits();
        let connections = match self.connections {
            0 => files.connections,
            connections => connections,
        };
        // However few the connections are, some are left for other peers, and for
        // those that are beyond the handshake.
        let handshakes = self.handshakes.min(connections.div_ceil(2));
        Limits {
            connections,
            peer_connections: self.peer_connections.min(connections - connections / 4),
            idle_time: self.idle_time,
            unread_time: self.unread_time,
            total_bytes: self.requests,
            peer_bytes: self.peer_requests,
            handshakes,
            peer_handshakes: self.peer_handshakes.min(handshakes.div_ceil(4)),
            ..files
        }
    }
}

/// So many bytes in all; of one peer so many, or three quarters.
fn bound(all: u64, peer: Option<u64>) -> Bound {
    let peer = peer.map_or(all - all / 4, |peer| peer.min(all));
    Bound { all, peer }
}

/// A value that is not UTF-8 is no number, as an absent one.
fn inherited() -> Inherited {
    let value = |name| Some(env::var_os(name)?.to_string_lossy().into_owned());
    Inherited {
        pid: value("LISTEN_PID"),
        fds: value("LISTEN_FDS"),
    }
}
