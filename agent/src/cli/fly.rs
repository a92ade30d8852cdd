//! The command line of `agent machines`, and the options for the Machines API.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};

use crate::{
    cli::machine::Mode,
    fly::{Action, Client, Endpoint, MachineId, Options, Size},
};

/// The Machines API of an app.
#[derive(Debug, Clone, Args)]
pub struct Api {
    /// The Machines API: <http://_api.internal:4280> inside Fly's private network, <https://api.machines.dev> elsewhere.
    #[arg(
        long,
        env = "FLY_FLAPS_BASE_URL",
        value_name = "URL",
        global = true,
        default_value = "http://_api.internal:4280"
    )]
    pub api_url: String,
    /// The app whose machines are agents.
    #[arg(
        long,
        env = "AGENT_APP",
        value_name = "NAME",
        global = true,
        default_value = "agents"
    )]
    pub app: String,
    /// An API token for that app, preferably made by `fly tokens create deploy -a APP`.
    #[arg(
        long,
        env = "FLY_API_TOKEN",
        value_name = "TOKEN",
        global = true,
        hide_env_values = true
    )]
    pub api_token: Option<String>,
}

impl Api {
    /// A client for the app's machines.
    ///
    /// # Errors
    ///
    /// When the app's name is not valid, or TLS cannot be set up.
    pub fn client(&self) -> Result<Client> {
        self.client_of(&self.app, "--app")
    }

    /// A client for the machines of another app, whose name was given by `option`.
    ///
    /// # Errors
    ///
    /// See [`Self::client`].
    pub fn client_of(&self, app: &str, option: &str) -> Result<Client> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        ensure!(
            !app.is_empty() && app.bytes().all(is_name),
            "{option} {app:?} is not the name of an app: letters, digits, - and _ only"
        );
        Ok(Client::new(Endpoint {
            url: self.api_url.clone(),
            app: app.to_owned(),
            token: self.api_token.clone(),
        })?)
    }
}

/// `agent machines`
#[derive(Debug, Args)]
pub struct Machines {
    /// The operation.
    #[command(subcommand)]
    pub command: Command,
    /// The API.
    #[command(flatten)]
    pub api: Api,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// How long the operation may take.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 180)]
    pub deadline: u64,
}

impl Machines {
    /// The options of the operation.
    ///
    /// # Errors
    ///
    /// See [`Api::client`]; when the file of a configuration cannot be read.
    pub fn options(&self) -> Result<Options> {
        Ok(Options {
            client: self.api.client()?,
            action: self.command.action()?,
            timeout: Duration::from_secs(self.deadline),
            json: self.json,
        })
    }
}

/// The operations of `agent machines`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the app's machines.
    List,
    /// Start a machine, and wait until it runs.
    Start(Which),
    /// Stop a machine, and wait until it is stopped.
    Stop(Which),
    /// Suspend a machine: save its memory, and stop it. Fly does so up to 2 GB of memory.
    Suspend(Which),
    /// Change the size of a machine: stop it, update it, and start it again if it ran.
    Resize(Resize),
    /// Stop a machine and start it again, optionally read-only or read-write.
    Restart(Restart),
    /// Create a machine, or show the one that has this name.
    Create(Create),
    /// Destroy a machine, with everything on it.
    Destroy(Which),
}

impl Command {
    fn action(&self) -> Result<Action> {
        Ok(match self {
            Self::List => Action::List,
            Self::Start(which) => Action::Start(which.id.clone()),
            Self::Stop(which) => Action::Stop(which.id.clone()),
            Self::Suspend(which) => Action::Suspend(which.id.clone()),
            Self::Resize(resize) => Action::Resize(resize.id.clone(), resize.size()),
            Self::Restart(restart) => {
                Action::Restart(restart.id.clone(), restart.mode.map(Into::into))
            }
            Self::Create(create) => create.action()?,
            Self::Destroy(which) => Action::Destroy(which.id.clone()),
        })
    }
}

/// One machine.
#[derive(Debug, Args)]
pub struct Which {
    /// The machine's id, as `agent machines list` shows it.
    pub id: MachineId,
}

/// `agent machines resize`
#[derive(Debug, Args)]
pub struct Resize {
    /// The machine's id.
    pub id: MachineId,
    /// The kind of CPUs: shared or performance.
    #[arg(long, value_name = "KIND")]
    pub cpu_kind: Option<String>,
    /// The number of CPUs: 1, 2, 4, 8 or 16.
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// The memory in MB, a multiple of 256.
    #[arg(long, value_name = "MB")]
    pub memory_mb: Option<u32>,
}

impl Resize {
    fn size(&self) -> Size {
        Size {
            cpu_kind: self.cpu_kind.clone(),
            cpus: self.cpus,
            memory_mb: self.memory_mb,
        }
    }
}

/// `agent machines restart`
#[derive(Debug, Args)]
pub struct Restart {
    /// The machine's id.
    pub id: MachineId,
    /// Whether its agent may change the work tree; unchanged if not given.
    #[arg(long)]
    pub mode: Option<Mode>,
}

/// `agent machines create`
#[derive(Debug, Args)]
pub struct Create {
    /// The machine's name, unique in the app.
    pub name: String,
    /// A file with the `config` object of the Machines API, as JSON.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The region; chosen by the platform if not given.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Do not start the machine, as for a template.
    #[arg(long)]
    pub stopped: bool,
}

impl Create {
    fn action(&self) -> Result<Action> {
        let file = self.config.display();
        let text = fs::read(&self.config).with_context(|| format!("cannot read {file}"))?;
        let config = serde_json::from_slice(&text);
        Ok(Action::Create {
            name: self.name.clone(),
            config: config.with_context(|| format!("{file} is not a machine's configuration"))?,
            region: self.region.clone(),
            start: !self.stopped,
        })
    }
}
