//! `agent coordinator`: its part of the command line.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Result;
use clap::Args;

use crate::{
    cli::fly::Api,
    cli::http::{Guard, read_token},
    http_access::Access,
};

/// `agent coordinator`
#[derive(Debug, Args)]
pub struct Coordinator {
    /// Where to listen.
    #[arg(
        long,
        env = "COORDINATOR_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8081"
    )]
    pub listen: SocketAddr,
    /// Where the Machines API is.
    #[command(flatten)]
    pub api: Api,
    /// Who may call.
    #[command(flatten)]
    pub guard: Guard,
    /// A file with the token of those who may manage machines; that of the callers if left out.
    /// The agents see the token of their callers, and codex runs beside them: it should not be this one.
    #[arg(long, env = "COORDINATOR_MANAGER_TOKEN_FILE", value_name = "FILE")]
    pub manager_token_file: Option<PathBuf>,
    /// A file with the key that the agents know us by: the same as their --grant-key-file.
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
    /// A request waits so many seconds for a machine to be ready, not longer.
    #[arg(
        long,
        env = "COORDINATOR_PATIENCE",
        value_name = "SECONDS",
        default_value_t = 120
    )]
    pub patience: u64,
    /// The machine, never started, that new agents are made like.
    #[arg(
        long,
        env = "COORDINATOR_TEMPLATE",
        value_name = "NAME",
        default_value = "ag-template"
    )]
    pub template: String,
    /// Look every so many seconds for machines that are idle or out of date; 0 never looks.
    #[arg(
        long,
        env = "COORDINATOR_SWEEP",
        value_name = "SECONDS",
        default_value_t = 60
    )]
    pub sweep: u64,
    /// Stop a machine whose agent has been idle for so many seconds and did not end itself.
    #[arg(
        long,
        env = "COORDINATOR_IDLE_STOP",
        value_name = "SECONDS",
        default_value_t = 900
    )]
    pub idle_stop: u64,
    /// Give an agent that runs on another image than the template's that image when it has been
    /// idle for so many seconds. It is stopped for it, and started when it is asked for next.
    #[arg(
        long,
        env = "COORDINATOR_ROLL_IDLE",
        value_name = "SECONDS",
        default_value_t = 120
    )]
    pub roll_idle: u64,
    /// If it has work to do all the same, wait so many seconds for the end of it, else let it be.
    #[arg(
        long,
        env = "COORDINATOR_DRAIN",
        value_name = "SECONDS",
        default_value_t = 60
    )]
    pub drain: u64,
    /// Who makes identity tokens, like <https://oidc.fly.io/ORG>. Without it nothing is promoted.
    #[arg(long, env = "COORDINATOR_ISSUER", value_name = "URL")]
    pub issuer: Option<String>,
    /// The app whose machines may promote their image. The API token must be good for it, too.
    #[arg(
        long,
        env = "COORDINATOR_GATE",
        value_name = "NAME",
        default_value = "agents-gate"
    )]
    pub gate: String,
}

impl Coordinator {
    /// Who may call.
    ///
    /// # Errors
    ///
    /// When everybody could, from anywhere.
    pub fn access(&self) -> Result<Access> {
        self.guard.access(self.listen)
    }

    /// Who may manage machines.
    ///
    /// # Errors
    ///
    /// When the token cannot be read.
    pub fn manager(&self) -> Result<Access> {
        match &self.manager_token_file {
            Some(file) => self.guard.with_token(Some(file)),
            None => self.access(),
        }
    }

    /// The key that agents know us by.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn grant_key(&self) -> Result<String> {
        read_token(&self.grant_key_file)
    }
}
