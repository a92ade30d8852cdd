//! The command line of `agent coordinator`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    cli::fly::Api,
    cli::http::{Guard, read_pem},
    coordinator::{Options, RollPolicy},
    token::GrantKey,
};

/// `agent coordinator`
#[derive(Debug, Args)]
pub struct Coordinator {
    /// The address to listen on.
    #[arg(
        long,
        env = "COORDINATOR_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8081"
    )]
    pub listen: SocketAddr,
    /// The Machines API.
    #[command(flatten)]
    pub api: Api,
    /// Who may call.
    #[command(flatten)]
    pub guard: Guard,
    /// A file with the token for managing machines; that of --token-file if not given.
    /// Agents have the token of --token-file, and codex runs beside them: use another one here.
    #[arg(long, env = "COORDINATOR_MANAGER_TOKEN_FILE", value_name = "FILE")]
    pub manager_token_file: Option<PathBuf>,
    /// A file with the private key of Ed25519 that grants are signed with, in PEM; agents get its public half alone.
    /// openssl genpkey -algorithm ed25519 makes one, openssl pkey -pubout prints the public half.
    #[arg(long, env = "AGENT_GRANT_KEY_FILE", value_name = "FILE")]
    pub grant_key_file: PathBuf,
    /// The port that agents listen on.
    #[arg(
        long,
        env = "COORDINATOR_AGENT_PORT",
        value_name = "PORT",
        default_value_t = 8080
    )]
    pub agent_port: u16,
    /// How long a request may wait for a machine to be ready.
    #[arg(
        long,
        env = "COORDINATOR_PATIENCE",
        value_name = "SECONDS",
        default_value_t = 120
    )]
    pub patience: u64,
    /// The name of the template: a machine, never started, whose configuration new agents get.
    #[arg(
        long,
        env = "COORDINATOR_TEMPLATE",
        value_name = "NAME",
        default_value = "ag-template"
    )]
    pub template: String,
    /// How many machines requests with the token of --token-file may have made. Managers make more.
    #[arg(
        long,
        env = "COORDINATOR_MACHINES",
        value_name = "N",
        default_value_t = 50
    )]
    pub machines: usize,
    /// The time between two sweeps for machines that are idle or outdated; 0 disables them.
    #[arg(
        long,
        env = "COORDINATOR_SWEEP",
        value_name = "SECONDS",
        default_value_t = 60
    )]
    pub sweep: u64,
    /// Stop a machine whose agent has been idle for this long and did not end by itself.
    #[arg(
        long,
        env = "COORDINATOR_IDLE_STOP",
        value_name = "SECONDS",
        default_value_t = 900
    )]
    pub idle_stop: u64,
    /// Give a running agent the template's image when it has been idle for this long. Its machine
    /// is stopped for that, and started by the next request.
    #[arg(
        long,
        env = "COORDINATOR_ROLL_IDLE",
        value_name = "SECONDS",
        default_value_t = 120
    )]
    pub roll_idle: u64,
    /// How long to wait for work that reaches an agent while it is about to get a new image; after
    /// that the agent retains its image.
    #[arg(
        long,
        env = "COORDINATOR_DRAIN",
        value_name = "SECONDS",
        default_value_t = 60
    )]
    pub drain: u64,
    /// The issuer of identity tokens, like <https://oidc.fly.io/ORG>. Without it no image is promoted.
    #[arg(long, env = "COORDINATOR_ISSUER", value_name = "URL")]
    pub issuer: Option<String>,
    /// The app whose machines may promote their image. The API token must be valid for it, too.
    #[arg(
        long,
        env = "COORDINATOR_GATE",
        value_name = "NAME",
        default_value = "agents-gate"
    )]
    pub gate: String,
}

impl Coordinator {
    /// The coordinator's options.
    ///
    /// # Errors
    ///
    /// When a token or the key cannot be read, a name is not valid, or everybody
    /// could call from other hosts.
    pub fn options(&self) -> Result<Options> {
        let (callers, made_token) = self.guard.access(self.listen)?;
        let managers = match &self.manager_token_file {
            Some(file) => self.guard.with_token(file)?,
            None => callers.clone(),
        };
        let file = &self.grant_key_file;
        let grant_key = GrantKey::from_pem(&read_pem(file)?);
        let grant_key =
            grant_key.with_context(|| format!("--grant-key-file {}", file.display()))?;
        Ok(Options {
            listen: self.listen,
            agents: self.api.client()?,
            gate: self.api.client_of(&self.gate, "--gate")?,
            callers,
            managers,
            made_token,
            grant_key,
            agent_port: self.agent_port,
            request_timeout: Duration::from_secs(self.patience),
            template: self.template.clone(),
            max_machines: self.machines,
            sweep_interval: (self.sweep > 0).then(|| Duration::from_secs(self.sweep)),
            idle_stop: Duration::from_secs(self.idle_stop),
            roll: RollPolicy {
                idle: Duration::from_secs(self.roll_idle),
                drain: Duration::from_secs(self.drain),
            },
            issuer: self.issuer.clone(),
        })
    }
}
