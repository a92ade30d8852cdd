//! The command line, with its twins in the environment.

pub mod coordinator;
pub mod fly;
pub mod http;
pub mod machine;
pub mod smoke;

use std::{
    env, fs,
    net::SocketAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, builder::FalseyValueParser};
use rustix::fs::Access as Permission;

use crate::{
    cli::coordinator::Coordinator,
    cli::fly::Machines,
    cli::http::{Guard, read_token},
    cli::machine::Boot,
    cli::smoke::{Ground, Smoke},
    client::{Machine, Server},
    fly::MachineId,
    http_access::Access,
    serve::codex::Program,
    serve::keys::Key,
    serve::output_log::Limits,
    serve::screen::Size,
    serve::session::Options,
    token::MachineTokens,
};

/// Runs codex in a terminal of its own, driven over MCP, and shows what it does.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve MCP, /live and /terminal for one codex.
    Serve(Box<Serve>),
    /// Start codex at a server.
    Start(Start),
    /// Send codex a message.
    Message(Message),
    /// Print what codex has put out, byte for byte.
    Live(Live),
    /// Use codex's terminal; Ctrl+] detaches.
    Terminal(Remote),
    /// Say what codex is doing.
    Status(Remote),
    /// Wake machines of a Fly app for those who ask for them, and have their requests sent there.
    Coordinator(Box<Coordinator>),
    /// Start, stop, resize and otherwise change machines of a Fly app.
    Machines(Machines),
    /// Run a machine: attach its repository, serve, hand the diff over.
    Boot(Box<Boot>),
    /// Try a machine out, and say whether it may be let loose.
    Smoke(Smoke),
    /// Lay exercises out on this machine, for `agent smoke`.
    Ground(Ground),
}

/// `agent serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Where to listen.
    #[arg(
        long,
        env = "AGENT_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,
    /// Speak MCP on standard input and output instead of HTTP.
    #[arg(long, env = "AGENT_STDIO", value_parser = FalseyValueParser::new())]
    pub stdio: bool,
    /// The directory that codex works in.
    #[arg(long, env = "AGENT_WORKSPACE", value_name = "DIR", default_value = ".")]
    pub workspace: PathBuf,
    /// What to run: codex with options of your own, or any terminal program.
    #[arg(
        long,
        env = "AGENT_COMMAND",
        value_name = "COMMAND",
        default_value = "codex"
    )]
    pub command: String,
    /// Where the output of the runs is kept; below the system's temporary directory if left out.
    #[arg(long, env = "AGENT_LOG_DIR", value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// How many bytes of a run are kept.
    #[arg(long, env = "AGENT_LOG_CAP", value_name = "BYTES", default_value_t = Limits::default().run)]
    pub log_cap: u64,
    /// How many bytes of all runs are kept together: the oldest runs go first.
    #[arg(long, env = "AGENT_LOG_TOTAL", value_name = "BYTES", default_value_t = Limits::default().total)]
    pub log_total: u64,
    /// Who may call.
    #[command(flatten)]
    pub guard: Guard,
    /// A file with the key of the coordinator that sends requests here: those need no token.
    #[arg(
        long,
        env = "AGENT_GRANT_KEY_FILE",
        value_name = "FILE",
        requires = "machine_id"
    )]
    pub grant_key_file: Option<PathBuf>,
    /// The machine that this is. MCP sessions are named after it, so that they can be found.
    #[arg(long, env = "FLY_MACHINE_ID", value_name = "ID")]
    pub machine_id: Option<MachineId>,
    /// End when nothing has worked and nobody has watched for so many seconds.
    #[arg(long, env = "AGENT_IDLE_EXIT", value_name = "SECONDS")]
    pub idle_exit: Option<u64>,
    /// Let this key through: ctrl-c, ctrl-d, ctrl-z or ctrl-\.
    #[arg(
        long,
        env = "AGENT_ALLOW_KEY",
        value_name = "KEY",
        value_delimiter = ','
    )]
    pub allow_key: Vec<Key>,
    /// Give codex this variable of our environment.
    #[arg(long, env = "AGENT_PASS_ENV", value_name = "NAME", value_delimiter = ',',
          default_values = ["OPENAI_API_KEY", "CODEX_API_KEY"])]
    pub pass_env: Vec<String>,
    /// Let codex use the alternate screen; /live is then no readable log.
    #[arg(long, env = "AGENT_ALT_SCREEN", value_parser = FalseyValueParser::new())]
    pub alt_screen: bool,
    /// The terminal's lines.
    #[arg(long, env = "AGENT_ROWS", value_name = "N", default_value = "40")]
    pub rows: NonZeroU16,
    /// The terminal's columns.
    #[arg(long, env = "AGENT_COLUMNS", value_name = "N", default_value = "120")]
    pub columns: NonZeroU16,
}

/// How long codex may take to be ready.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A log is cut in four: each part must hold some output.
const SMALLEST_LOG: u64 = 256 << 10;

impl Serve {
    /// What the session is made of.
    ///
    /// # Errors
    ///
    /// A sentence about what cannot work.
    pub fn options(&self) -> Result<Options> {
        let words = shell_words::split(&self.command);
        let words = words.with_context(|| format!("--command {}", self.command))?;
        ensure!(!words.is_empty(), "--command is empty");
        let workspace = fs::canonicalize(&self.workspace);
        let workspace =
            workspace.with_context(|| format!("--workspace {}", self.workspace.display()))?;
        ensure!(
            workspace.is_dir(),
            "--workspace {} is not a directory",
            workspace.display()
        );
        ensure!(
            on_path(&words[0], &workspace),
            "--command: there is no program {}",
            words[0]
        );
        let program = Program {
            words,
            workspace,
            environment: env::vars_os().collect(),
            granted: self.pass_env.clone(),
            alternate_screen: self.alt_screen,
        };
        ensure!(
            !program.is_codex() || program.home().is_some(),
            "codex needs HOME or CODEX_HOME"
        );
        ensure!(
            self.log_cap >= SMALLEST_LOG,
            "--log-cap {} is too little: give it {SMALLEST_LOG} or more",
            self.log_cap
        );
        ensure!(
            self.log_total >= self.log_cap,
            "--log-total {} is less than the --log-cap {} of one run",
            self.log_total,
            self.log_cap
        );
        let segment = Limits::default().segment.min(self.log_cap / 4);
        Ok(Options {
            program,
            logs: self.log_dir.clone().unwrap_or_else(default_logs),
            limits: Limits {
                segment,
                run: self.log_cap,
                total: self.log_total,
            },
            size: Size {
                rows: self.rows,
                columns: self.columns,
            },
            start_patience: START_PATIENCE,
        })
    }

    /// Who may call.
    ///
    /// # Errors
    ///
    /// When everybody could, from anywhere.
    pub fn access(&self) -> Result<Access> {
        let access = self.guard.access(self.listen)?;
        Ok(Access {
            machine: self.machine_tokens()?,
            ..access
        })
    }

    fn machine_tokens(&self) -> Result<Option<(String, MachineTokens)>> {
        let (Some(file), Some(machine)) = (&self.grant_key_file, &self.machine_id) else {
            return Ok(None);
        };
        let tokens = MachineTokens::new(&read_token(file)?);
        Ok(Some((machine.as_str().to_owned(), tokens)))
    }

    /// How long it may be idle.
    pub fn idle_exit(&self) -> Option<Duration> {
        self.idle_exit.map(Duration::from_secs)
    }
}

fn on_path(program: &str, workspace: &Path) -> bool {
    let runs =
        |path: PathBuf| path.is_file() && rustix::fs::access(&path, Permission::EXEC_OK).is_ok();
    if program.contains('/') {
        return runs(workspace.join(program));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| runs(folder.join(program)))
}

fn default_logs() -> PathBuf {
    let own = rustix::process::geteuid().as_raw();
    env::temp_dir().join(format!("agent-{own}"))
}

/// A server, and how to be let in.
#[derive(Debug, Args)]
pub struct Remote {
    /// The server, like <http://127.0.0.1:8080>.
    pub url: String,
    /// A file with the server's token.
    #[arg(long, env = "AGENT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The one machine of a Fly app that is meant, by its id. It is not woken: when it is stopped, this fails at once.
    #[arg(long, env = "AGENT_MACHINE", value_name = "ID")]
    pub machine: Option<String>,
    /// The machine that is meant; the URL is that of a coordinator, which wakes it first.
    #[arg(
        long,
        env = "AGENT_WAKE",
        value_name = "ID",
        conflicts_with = "machine"
    )]
    pub wake: Option<String>,
}

impl Remote {
    /// Where it is.
    ///
    /// # Errors
    ///
    /// When the token cannot be read.
    pub fn server(&self) -> Result<Server> {
        Ok(Server {
            url: self.url.trim_end_matches('/').to_owned(),
            token: self.token_file.as_deref().map(read_token).transpose()?,
            machine: match (&self.machine, &self.wake) {
                (Some(id), _) => Some(Machine::Pinned(id.clone())),
                (None, Some(id)) => Some(Machine::Woken(id.clone())),
                (None, None) => None,
            },
        })
    }
}

/// `agent start`
#[derive(Debug, Args)]
pub struct Start {
    /// Take the last conversation up again.
    #[arg(long)]
    pub resume: bool,
    /// Where.
    #[command(flatten)]
    pub remote: Remote,
}

/// `agent message`
#[derive(Debug, Args)]
pub struct Message {
    /// Where.
    #[command(flatten)]
    pub remote: Remote,
    /// What to type; - reads standard input.
    pub text: String,
}

/// `agent live`
#[derive(Debug, Args)]
pub struct Live {
    /// Go on until the run ends.
    #[arg(long)]
    pub follow: bool,
    /// Begin at this offset.
    #[arg(long, value_name = "N")]
    pub offset: Option<u64>,
    /// Where.
    #[command(flatten)]
    pub remote: Remote,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn every_flag_of_serve_has_a_twin_in_the_environment() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        let serve = cli.find_subcommand("serve").unwrap();
        for flag in serve.get_arguments() {
            let name = flag.get_id().as_str().to_uppercase();
            // The platform names the machine.
            let prefix = if name == "MACHINE_ID" { "FLY" } else { "AGENT" };
            let twin = flag.get_env().and_then(|twin| twin.to_str());
            assert_eq!(twin, Some(format!("{prefix}_{name}").as_str()));
        }
    }
}
