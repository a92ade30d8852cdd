//! The command line of `agent boot`; most of it comes from a machine's
//! environment.

use std::{env, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::machine::store::{Keys, Store};
use crate::machine::{Options, attach::Mode, user::User};

/// `agent boot`
#[derive(Debug, Args)]
pub struct Boot {
    /// The export to attach, `REPO[@REV][:KEY=VALUE]…`; without it the workspace
    /// is an empty directory.
    #[arg(long, env = "REPO", value_name = "EXPORT")]
    pub repo: Option<String>,
    /// The commit or branch of it, where the export names none.
    #[arg(long, env = "BASE", value_name = "REV")]
    pub base: Option<String>,
    /// Where blockd is, `HOST[:PORT]` or the path of a socket; the best first.
    /// The nearest one directly, then through the proxy, which wakes it.
    #[arg(
        long,
        env = "AGENT_SERVERS",
        value_name = "SERVER",
        value_delimiter = ',',
        default_value = "top1.nearest.of.blockd.internal,blockd.flycast"
    )]
    pub servers: Vec<String>,
    /// Read-only, or read-write.
    #[arg(long, env = "MODE", value_enum, default_value = "rw")]
    pub mode: Mode,
    /// The directory that codex works in.
    #[arg(
        long,
        env = "AGENT_WORKSPACE",
        value_name = "DIR",
        default_value = "/workspace"
    )]
    pub workspace: PathBuf,
    /// Where changes are kept; a volume at /data, or the disk behind the root
    /// file system, if left out.
    #[arg(long, env = "AGENT_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Where the diff goes when the machine stops: /FOLDER or <https://URL>;
    /// the bucket that the platform gave us, if left out.
    #[arg(long, env = "AGENT_STORE", value_name = "PLACE")]
    pub store: Option<String>,
    /// What the diff is called there; the machine's id if left out.
    #[arg(long, env = "AGENT_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Who runs codex, by number; who calls, if left out.
    #[arg(long, env = "AGENT_UID", value_name = "N")]
    pub uid: Option<u32>,
    /// Their group.
    #[arg(long, env = "AGENT_GID", value_name = "N")]
    pub gid: Option<u32>,
    /// The program that attaches.
    #[arg(
        long,
        env = "AGENT_BLOCKD",
        value_name = "PROGRAM",
        default_value = "blockd"
    )]
    pub blockd: PathBuf,
    /// Lay out exercises for `agent smoke` at this address, as on a machine
    /// that is tried out.
    #[arg(long, env = "AGENT_GROUND", value_name = "ADDR")]
    pub ground: Option<String>,
    /// Options of `agent serve`.
    #[arg(last = true, value_name = "OPTIONS")]
    pub serve: Vec<String>,
}

impl Boot {
    /// What the machine is.
    ///
    /// # Errors
    ///
    /// A sentence about what cannot work.
    pub fn options(&self) -> Result<Options> {
        let own = User::own_self();
        let user = User {
            uid: self.uid.unwrap_or(own.uid),
            gid: self.gid.unwrap_or(own.gid),
        };
        let name = self.name.clone().or_else(|| given("FLY_MACHINE_ID"));
        if let Some(name) = &name {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            ensure!(
                name.chars().all(fits) && !name.starts_with('.'),
                "--name {name}: letters, digits, - _ and . only"
            );
        }
        let mut serve = self.serve.clone();
        serve.extend(names());
        Ok(Options {
            repo: self.export(),
            servers: self.servers.clone(),
            mode: self.mode,
            workspace: self.workspace.clone(),
            state: self.state.clone(),
            store: self.store()?,
            name,
            user,
            token: given("AGENT_TOKEN"),
            grant_key: given("AGENT_GRANT_KEY"),
            codex_key: given("OPENAI_API_KEY"),
            agent: env::current_exe().context("cannot find the running program")?,
            blockd: self.blockd.clone(),
            serve,
            ground: self.ground.clone(),
        })
    }

    fn export(&self) -> Option<String> {
        let repo = self.repo.as_ref().filter(|repo| !repo.is_empty())?;
        let base = self.base.as_ref().filter(|base| !base.is_empty());
        Some(match base {
            // Options stand behind the revision.
            Some(base) if !repo.contains('@') => match repo.split_once(':') {
                Some((name, options)) => format!("{name}@{base}:{options}"),
                None => format!("{repo}@{base}"),
            },
            _ => repo.clone(),
        })
    }

    fn store(&self) -> Result<Option<Store>> {
        let place = self.store.clone().or_else(bucket);
        place.map(|place| Store::new(&place, keys())).transpose()
    }
}

/// A variable that says something.
pub(crate) fn given(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// What `fly storage create` puts into the environment.
pub(crate) fn bucket() -> Option<String> {
    let endpoint = given("AWS_ENDPOINT_URL_S3")?;
    Some(format!(
        "{}/{}",
        endpoint.trim_end_matches('/'),
        given("BUCKET_NAME")?
    ))
}

pub(crate) fn keys() -> Option<Keys> {
    Some(Keys {
        id: given("AWS_ACCESS_KEY_ID")?,
        secret: given("AWS_SECRET_ACCESS_KEY")?,
        region: given("AWS_REGION").unwrap_or_else(|| "auto".to_owned()),
    })
}

/// What this machine is called by on its private network.
fn names() -> Vec<String> {
    let Some(app) = given("FLY_APP_NAME") else {
        return Vec::new();
    };
    let mut names = vec![format!("{app}.flycast"), format!("{app}.internal")];
    names.extend(given("FLY_MACHINE_ID").map(|id| format!("{id}.vm.{app}.internal")));
    names
        .into_iter()
        .flat_map(|name| ["--allow-host".to_owned(), name])
        .collect()
}
