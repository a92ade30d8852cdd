//! The command line of `agent boot`. Most of its options come from the machine's
//! environment.

use std::{env, iter, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use blockd_nbd::uri::{Address, NbdUri};
use clap::{Args, FromArgMatches, ValueEnum};

use tracing::warn;

use super::{
    environment::{codex_configuration, handed_on},
    serve::Serve,
};
use crate::{
    http_access::TokenHash,
    machine::{
        Options,
        store::{Keys, Store},
        user::User,
    },
    mode,
};

/// The user id that `agent serve` has: one that distributions give to nobody.
pub(crate) const SERVER: u32 = 59_990;

/// Whether the work tree takes changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Read-only.
    Ro,
    /// Read-write.
    Rw,
}

impl From<Mode> for mode::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Ro => Self::ReadOnly,
            Mode::Rw => Self::ReadWrite,
        }
    }
}

/// `agent boot`
#[derive(Debug, Args)]
pub struct Boot {
    /// The export to attach, `REPO[@REV][:KEY=VALUE]…`. Without it the workspace
    /// is an empty directory.
    #[arg(long, env = "REPO", value_name = "EXPORT")]
    pub repo: Option<String>,
    /// The revision to attach, if the export names none.
    #[arg(long, env = "BASE", value_name = "REV")]
    pub base: Option<String>,
    /// The blockd servers in order of preference, each `HOST[:PORT]`, the path of a socket, or an
    /// NBD URI without an export, like `nbds://HOST/?tls-certificates=DIR`.
    /// By default the nearest one directly, then through Fly's proxy, which starts it.
    #[arg(
        long,
        env = "AGENT_SERVERS",
        value_name = "SERVER",
        value_delimiter = ',',
        value_parser = server,
        default_value = "top1.nearest.of.blockd.internal,blockd.flycast"
    )]
    pub servers: Vec<Address>,
    /// Attach read-only or read-write.
    #[arg(long, env = "MODE", value_enum, default_value = "rw")]
    pub mode: Mode,
    /// The directory that the work tree is mounted at, and codex works in.
    #[arg(
        long,
        env = "AGENT_WORKSPACE",
        value_name = "DIR",
        default_value = "/workspace"
    )]
    pub workspace: PathBuf,
    /// The state directory, which holds the changes; on a volume at /data or on the
    /// disk below the root file system if not given.
    #[arg(long, env = "AGENT_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Where to upload the changes when the machine stops, /DIR or <https://URL>;
    /// the bucket in the environment (`AWS_ENDPOINT_URL_S3`, `BUCKET_NAME`) if not given.
    #[arg(long, env = "AGENT_STORE", value_name = "STORE")]
    pub store: Option<String>,
    /// The name of the changes in the store; the machine's id if not given.
    #[arg(long, env = "AGENT_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// The user id that codex runs as; that of the caller if not given.
    #[arg(long, env = "AGENT_UID", value_name = "N")]
    pub uid: Option<u32>,
    /// The group id that codex runs as; that of the caller if not given.
    #[arg(long, env = "AGENT_GID", value_name = "N")]
    pub gid: Option<u32>,
    /// The user id, and the group id, that agent serve runs as where this runs as root and codex
    /// does not: no other program may have it.
    #[arg(long, env = "AGENT_SERVER_UID", value_name = "N", default_value_t = SERVER)]
    pub server_uid: u32,
    /// The platform's socket, which only root may use from now on.
    #[arg(long, value_name = "SOCKET", default_value = "/.fly/api")]
    pub platform: PathBuf,
    /// The program blockd.
    #[arg(
        long,
        env = "AGENT_BLOCKD",
        value_name = "PROGRAM",
        default_value = "blockd"
    )]
    pub blockd: PathBuf,
    /// Run `agent exercises` at this address, for a machine that `agent smoke` tests.
    #[arg(long, alias = "ground", env = "AGENT_EXERCISES", value_name = "ADDR")]
    pub exercises: Option<String>,
    /// Options of `agent serve`.
    #[arg(last = true, value_name = "OPTIONS")]
    pub serve: Vec<String>,
}

impl Boot {
    /// The machine's options.
    ///
    /// # Errors
    ///
    /// When the name or the store is not valid, or a variable of the environment is
    /// not UTF-8.
    pub fn options(&self) -> Result<Options> {
        let name = match &self.name {
            Some(name) => Some(name.clone()),
            None => variable("FLY_MACHINE_ID")?,
        };
        if let Some(name) = &name {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            ensure!(
                name.chars().all(fits) && !name.starts_with('.'),
                "--name {name}: letters, digits, - _ and . only, and no . in front"
            );
        }
        let user = user(self.uid, self.gid);
        let mut serve = self.serve.clone();
        serve.extend(host_names()?);
        if let Some(task) = &self.name {
            serve.push(format!("--name={task}"));
        }
        Ok(Options {
            repo: self.export(),
            servers: self.servers.clone(),
            mode: self.mode.into(),
            workspace: self.workspace.clone(),
            state: self.state.clone(),
            store: store(self.store.as_deref())?,
            name,
            user,
            server: server_user(user, self.server_uid)?,
            environment: handed_on(&passed(&serve)?),
            configuration: codex_configuration(),
            platform: self.platform.clone(),
            token: variable("AGENT_TOKEN")?.map(|token| token_hash(&token)),
            grant_key: grant_key()?,
            codex_key: variable("OPENAI_API_KEY")?,
            agent: env::current_exe().context("cannot find the running program")?,
            blockd: self.blockd.clone(),
            serve,
            // The name that the last release had for it.
            exercises: match &self.exercises {
                Some(exercises) => Some(exercises.clone()),
                None => variable("AGENT_GROUND")?,
            },
        })
    }

    fn export(&self) -> Option<String> {
        let repo = self.repo.as_ref().filter(|repo| !repo.is_empty())?;
        let base = self.base.as_ref().filter(|base| !base.is_empty());
        Some(match base {
            // Options follow the revision.
            Some(base) if !repo.contains('@') => match repo.split_once(':') {
                Some((name, options)) => format!("{name}@{base}:{options}"),
                None => format!("{repo}@{base}"),
            },
            _ => repo.clone(),
        })
    }
}

/// `HOST`, `HOST:PORT`, the path of a Unix domain socket, or an NBD URI without an
/// export, such as `nbds://HOST/?tls-certificates=DIR`.
fn server(text: &str) -> Result<Address> {
    if text.contains("://") {
        let uri: NbdUri = text.parse()?;
        ensure!(
            uri.export.is_empty(),
            "the URI of a server has no export: the repository is given by --repo"
        );
        return Ok(uri.address);
    }
    if text.starts_with('/') {
        return Ok(Address::Unix(text.into()));
    }
    let uri: NbdUri = format!("nbd://{text}/").parse()?;
    ensure!(
        uri.export.is_empty(),
        "expected HOST[:PORT] or the path of a socket"
    );
    Ok(uri.address)
}

/// The user of `agent serve`: one that only root can change to, where codex is
/// another than root; else codex's.
pub(crate) fn server_user(codex: User, uid: u32) -> Result<User> {
    if User::current().uid != 0 {
        return Ok(codex);
    }
    if codex.uid == 0 {
        warn!("codex runs as root, and may do anything on this machine: see --uid");
        return Ok(codex);
    }
    ensure!(
        uid != codex.uid && uid != codex.gid && uid != 0,
        "--server-uid {uid} is codex's, or root's: codex could do what agent serve can"
    );
    Ok(User { uid, gid: uid })
}

/// The variables that `agent serve` is to pass on, by its options.
fn passed(options: &[String]) -> Result<Vec<String>> {
    let serve = Serve::augment_args(clap::Command::new("agent serve"));
    let words = iter::once("agent serve").chain(options.iter().map(String::as_str));
    let parsed = serve.try_get_matches_from(words)?;
    Ok(Serve::from_arg_matches(&parsed)?.pass_env)
}

/// A user by number; what is not given is that of this process.
pub(crate) fn user(uid: Option<u32>, gid: Option<u32>) -> User {
    let current = User::current();
    User {
        uid: uid.unwrap_or(current.uid),
        gid: gid.unwrap_or(current.gid),
    }
}

/// A variable of the environment, unless it is empty.
pub(crate) fn variable(name: &str) -> Result<Option<String>> {
    let Some(value) = env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    match value.into_string() {
        Ok(value) => Ok(Some(value)),
        // It may be a secret: the value is not shown.
        Err(_) => bail!("the environment variable {name} is not UTF-8"),
    }
}

/// The hash of a token, which may itself stand in its place.
fn token_hash(text: &str) -> TokenHash {
    TokenHash::parse(text).unwrap_or_else(|| TokenHash::of(text))
}

/// The public key that grants are verified with. What the last release had in its
/// place is a secret that signs them: it is not handed on.
fn grant_key() -> Result<Option<String>> {
    let key = variable("AGENT_GRANT_KEY")?;
    if key.as_ref().is_some_and(|key| !key.contains("-----BEGIN")) {
        warn!(
            "AGENT_GRANT_KEY is a shared key of an earlier release, and is not used: requests of a coordinator are refused until it is the public half of the coordinator's key (openssl pkey -pubout)"
        );
        return Ok(None);
    }
    Ok(key)
}

/// The store at this location, or in the bucket that the environment names.
pub(crate) fn store(location: Option<&str>) -> Result<Option<Store>> {
    let location = match location {
        Some(location) => Some(location.to_owned()),
        None => bucket()?,
    };
    let Some(location) = location else {
        return Ok(None);
    };
    Ok(Some(Store::new(&location, keys()?)?))
}

/// The bucket of `fly storage create`, which sets both variables.
fn bucket() -> Result<Option<String>> {
    let endpoint = variable("AWS_ENDPOINT_URL_S3")?;
    let bucket = endpoint.zip(variable("BUCKET_NAME")?);
    Ok(bucket.map(|(endpoint, name)| format!("{}/{name}", endpoint.trim_end_matches('/'))))
}

fn keys() -> Result<Option<Keys>> {
    let id = variable("AWS_ACCESS_KEY_ID")?;
    let secret = variable("AWS_SECRET_ACCESS_KEY")?;
    let (id, secret) = match (id, secret) {
        (Some(id), Some(secret)) => (id, secret),
        (None, None) => return Ok(None),
        _ => bail!("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must be set together"),
    };
    // Stores that have no regions accept signatures for `auto`.
    let region = variable("AWS_REGION")?.unwrap_or_else(|| "auto".to_owned());
    Ok(Some(Keys { id, secret, region }))
}

/// The names of this machine on its private network, as options of `agent serve`.
fn host_names() -> Result<Vec<String>> {
    let Some(app) = variable("FLY_APP_NAME")? else {
        return Ok(Vec::new());
    };
    let mut names = vec![format!("{app}.flycast"), format!("{app}.internal")];
    names.extend(variable("FLY_MACHINE_ID")?.map(|id| format!("{id}.vm.{app}.internal")));
    Ok(names
        .into_iter()
        .flat_map(|name| ["--allow-host".to_owned(), name])
        .collect())
}

#[cfg(test)]
mod tests {
    use blockd_nbd::uri::Address;

    use super::server;

    #[test]
    fn servers_are_hosts_or_sockets() {
        for (text, address) in [
            ("blockd.flycast", "blockd.flycast:10809"),
            ("[fdaa::3]:1", "[fdaa::3]:1"),
            ("127.0.0.1:9", "127.0.0.1:9"),
        ] {
            assert_eq!(server(text).unwrap().to_string(), address);
        }
        let encrypted = server("nbds://blockd.flycast/?tls-certificates=/run/tls").unwrap();
        let Address::Tcp { tls: Some(tls), .. } = encrypted else {
            panic!("{encrypted}");
        };
        assert_eq!(tls.certificates, Some("/run/tls".into()));
        let socket = Address::Unix("/run/b d".into());
        assert_eq!(server("/run/b d").unwrap(), socket);
        for text in ["fdaa::3", "host/repo", "host:port", "nbds://host/repo"] {
            assert!(server(text).is_err(), "{text}");
        }
    }
}
