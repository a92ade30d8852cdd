//! `agent machines`: its part of the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use crate::fly::{
    client::{Client, Endpoint},
    error::Error,
    model::{MachineId, Mode, Size},
};

/// The API waits for so long at once: that long it goes unseen that a machine
/// has died.
const SLICE: Duration = Duration::from_secs(3);

/// Where the Machines API is.
#[derive(Debug, Clone, Args)]
pub struct Api {
    /// The Machines API: <http://_api.internal:4280> within Fly's network, <https://api.machines.dev> elsewhere.
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
    /// A token for that app; best one made by `fly tokens create deploy -a APP`.
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
    /// A client of it.
    ///
    /// # Errors
    ///
    /// When what was given cannot be sent.
    pub fn client(&self) -> Result<Client, Error> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if self.app.is_empty() || !self.app.bytes().all(is_name) {
            return Err(Error::Invalid(format!(
                "--app {:?} is no app's name",
                self.app
            )));
        }
        let endpoint = Endpoint {
            url: self.api_url.clone(),
            app: self.app.clone(),
            token: self.api_token.clone(),
        };
        Client::new(endpoint, SLICE)
    }
}

/// `agent machines`
#[derive(Debug, Args)]
pub struct Machines {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where the API is.
    #[command(flatten)]
    pub api: Api,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Give up after so many seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 180)]
    pub deadline: u64,
}

/// What to do with machines.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the app's machines.
    List,
    /// Start a machine and wait until it runs.
    Start(Which),
    /// Stop a machine and wait until it is stopped.
    Stop(Which),
    /// Keep a machine's memory and stop it. Fly does so only up to 2 GB.
    Suspend(Which),
    /// Stop a machine, give it another size, and start it if it ran.
    Resize(Resize),
    /// Stop a machine and start it, perhaps read-only or read-write.
    Restart(Restart),
    /// Make a machine of a configuration, or say which is there by that name.
    Create(Create),
    /// Take a machine away for good, with what is on it.
    Destroy(Which),
}

/// One machine.
#[derive(Debug, Args)]
pub struct Which {
    /// Its id, as `agent machines list` shows it.
    pub id: MachineId,
}

/// `agent machines resize`
#[derive(Debug, Args)]
pub struct Resize {
    /// Which machine.
    pub id: MachineId,
    /// What of its size changes.
    #[command(flatten)]
    pub size: Size,
}

/// `agent machines restart`
#[derive(Debug, Args)]
pub struct Restart {
    /// Which machine.
    pub id: MachineId,
    /// Whether its agent may write; as it was, if left out.
    #[arg(long)]
    pub mode: Option<Mode>,
}

/// `agent machines create`
#[derive(Debug, Args)]
pub struct Create {
    /// Its name: there is never a second one of that name.
    pub name: String,
    /// A file with the Machines API's `config`, as JSON.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where; near the API when left out.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Do not start it: a template, or one for later.
    #[arg(long)]
    pub stopped: bool,
}
