//! `agent serve`

use std::{
    env, fs,
    net::SocketAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, builder::FalseyValueParser};
use rustix::fs::Access as Permission;

use super::http::{Guard, read_pem};
use crate::{
    fly::MachineId,
    serve::{
        Options, RunAs, Transport, codex::Program, keys::Key, output_log::Limits, screen::Size,
        session,
    },
    token::Grants,
};

/// `agent serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// The address to listen on.
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
    /// The directory for the output of the runs; one in the system's temporary directory if left out.
    #[arg(long, env = "AGENT_LOG_DIR", value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// How many bytes of the output of a run are retained.
    #[arg(long, env = "AGENT_LOG_CAP", value_name = "BYTES", default_value_t = Limits::default().run)]
    pub log_cap: u64,
    /// How many bytes of the output of all runs are retained: the oldest runs are removed first.
    #[arg(long, env = "AGENT_LOG_TOTAL", value_name = "BYTES", default_value_t = Limits::default().total)]
    pub log_total: u64,
    /// Who may call.
    #[command(flatten)]
    pub guard: Guard,
    /// A file with the public half of the key that the coordinator signs grants with, in PEM. Requests with a grant for
    /// this machine and its task need no other token.
    #[arg(
        long,
        env = "AGENT_GRANT_KEY_FILE",
        value_name = "FILE",
        requires = "machine_id"
    )]
    pub grant_key_file: Option<PathBuf>,
    /// The id of this machine. MCP session ids begin with it, so that a coordinator finds the machine of a session.
    #[arg(long, env = "FLY_MACHINE_ID", value_name = "ID")]
    pub machine_id: Option<MachineId>,
    /// The name of the task that this machine works for, as the coordinator gives it. Grants for another one are refused.
    #[arg(long, env = "AGENT_NAME", value_name = "NAME", default_value = "")]
    pub name: String,
    /// End when codex has not worked and nobody has watched for this many seconds.
    #[arg(long, env = "AGENT_IDLE_EXIT", value_name = "SECONDS")]
    pub idle_exit: Option<u64>,
    /// Do not block this key: ctrl-c, ctrl-d, ctrl-z or ctrl-\.
    #[arg(
        long,
        env = "AGENT_ALLOW_KEY",
        value_name = "KEY",
        value_delimiter = ','
    )]
    pub allow_key: Vec<Key>,
    /// Pass this variable of the environment on to codex.
    #[arg(long, env = "AGENT_PASS_ENV", value_name = "NAME", value_delimiter = ',',
          default_values = ["OPENAI_API_KEY", "CODEX_API_KEY"])]
    pub pass_env: Vec<String>,
    /// Run codex as this user and group, and not as the server's own, whose files and memory it then cannot reach. It takes
    /// the capabilities that agent boot gives: setuid, setgid, kill and chown.
    #[arg(long, env = "AGENT_RUN_AS", value_name = "UID:GID")]
    pub run_as: Option<RunAs>,
    /// Declare the workspace trusted to codex: what the repository's own .codex/config.toml says is done, programs that
    /// it names included. Without this, codex asks whether to trust it; answer at /terminal.
    #[arg(long, env = "AGENT_TRUST_WORKSPACE", value_parser = FalseyValueParser::new())]
    pub trust_workspace: bool,
    /// Let codex use the alternate screen; /live is then not a readable log.
    #[arg(long, env = "AGENT_ALT_SCREEN", value_parser = FalseyValueParser::new())]
    pub alt_screen: bool,
    /// How many lines the terminal has.
    #[arg(long, env = "AGENT_ROWS", value_name = "N", default_value = "40")]
    pub rows: NonZeroU16,
    /// How many columns the terminal has.
    #[arg(long, env = "AGENT_COLUMNS", value_name = "N", default_value = "120")]
    pub columns: NonZeroU16,
}

/// How long codex may take to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The smallest log in bytes: it has at least four segments, each of which must
/// hold some output.
const MIN_LOG: u64 = 256 << 10;

impl Serve {
    /// The options of the server.
    ///
    /// # Errors
    ///
    /// When a flag has a value that cannot work, such as a program that does not
    /// exist, or a file cannot be read.
    pub fn options(&self) -> Result<Options> {
        let session = self.session()?;
        let transport = self.transport()?;
        Ok(Options {
            session,
            transport,
            machine: self.machine_id.as_ref().map(|id| id.as_str().to_owned()),
            idle_exit: self.idle_exit.map(Duration::from_secs),
            allowed_keys: self.allow_key.clone(),
        })
    }

    fn transport(&self) -> Result<Transport> {
        if self.stdio {
            return Ok(Transport::Stdio);
        }
        let (mut access, token) = self.guard.access(self.listen)?;
        access.grants = self.grants()?;
        Ok(Transport::Http {
            listen: self.listen,
            access: Box::new(access),
            token,
        })
    }

    fn session(&self) -> Result<session::Options> {
        let program = self.program()?;
        ensure!(
            self.log_cap >= MIN_LOG,
            "--log-cap {} is too little: give it {MIN_LOG} or more",
            self.log_cap
        );
        ensure!(
            self.log_total >= self.log_cap,
            "--log-total {} is less than the --log-cap {} of one run",
            self.log_total,
            self.log_cap
        );
        Ok(session::Options {
            program,
            logs: self.log_dir.clone().unwrap_or_else(default_logs),
            limits: Limits {
                segment: Limits::default().segment.min(self.log_cap / 4),
                run: self.log_cap,
                total: self.log_total,
            },
            size: Size {
                rows: self.rows,
                columns: self.columns,
            },
            start_timeout: START_TIMEOUT,
            version: None,
        })
    }

    fn program(&self) -> Result<Program> {
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
            passed: self.pass_env.clone(),
            alternate_screen: self.alt_screen,
            is_trusted: self.trust_workspace,
            user: self.run_as,
        };
        ensure!(
            !program.is_codex() || program.home().is_some(),
            "codex needs HOME or CODEX_HOME"
        );
        Ok(program)
    }

    fn grants(&self) -> Result<Option<Grants>> {
        let (Some(file), Some(machine)) = (&self.grant_key_file, &self.machine_id) else {
            return Ok(None);
        };
        let grants = Grants::new(&read_pem(file)?, machine.as_str(), &self.name);
        let grants = grants.with_context(|| format!("--grant-key-file {}", file.display()))?;
        Ok(Some(grants))
    }
}

/// Whether `program` can be executed, below `workspace` if its path is relative.
fn on_path(program: &str, workspace: &Path) -> bool {
    let runs =
        |path: PathBuf| path.is_file() && rustix::fs::access(&path, Permission::EXEC_OK).is_ok();
    if program.contains('/') {
        return runs(workspace.join(program));
    }
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| runs(folder.join(program))))
}

/// A directory of this user, in the system's temporary directory.
fn default_logs() -> PathBuf {
    let own = rustix::process::geteuid().as_raw();
    env::temp_dir().join(format!("agent-{own}"))
}
