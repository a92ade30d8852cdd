//! How codex is started so that it comes up without a dialog: its command line,
//! its home and its environment. The user's files in the home stay as they are:
//! settings for a run are passed on the command line.

pub mod composer;
pub mod interface;
mod rollout;
#[cfg(test)]
mod tests;
mod version;
mod watch;

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use self::interface::{
    ANIMATIONS, CONFIG, DEFAULT_HOME, HOME, INPUT_KEYS, KEYS, NO_ALTERNATE_SCREEN, PROJECTS,
    RESUME, SCREEN_SETTINGS, SET, SETTINGS, SUBMIT_DEFAULT, SUBMIT_KEY, SUBMIT_KEYS, TERMINAL,
    TRUST,
};
pub use self::{rollout::Rollouts, version::Version};
use super::run_as::RunAs;

/// The variables that a program inherits from this process, besides those that
/// are passed by name: where things are, and how to reach the network.
pub(crate) const INHERITED: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TZ",
    "TMPDIR",
    HOME,
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "GIT_CONFIG_GLOBAL",
    "EDITOR",
];

/// The variable that names the run in the environment of all that it starts.
pub const MARKER: &str = "AGENT_RUN";

/// The program that a session runs.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program and its arguments; not empty.
    pub words: Vec<String>,
    /// Its working directory.
    pub workspace: PathBuf,
    /// The environment of this process.
    pub environment: Vec<(OsString, OsString)>,
    /// Names of variables that are passed to it besides the common ones, such as
    /// that of its API key.
    pub passed: Vec<String>,
    /// Whether codex may use the alternate screen; its output is then not a
    /// readable log.
    pub alternate_screen: bool,
    /// Whether codex does what the configuration in the workspace says.
    pub is_trusted: bool,
    /// The user that it runs as, if not this process's own.
    pub user: Option<RunAs>,
}

impl Program {
    /// Whether it is codex, and not any other terminal program.
    pub fn is_codex(&self) -> bool {
        let name = self.words.first().map(Path::new).and_then(Path::file_name);
        name == Some(OsStr::new("codex"))
    }

    /// Codex's home: `CODEX_HOME`, or `.codex` in `HOME`.
    pub fn home(&self) -> Option<PathBuf> {
        let own = self.variable(HOME).filter(|home| !home.is_empty());
        let below = || Some(Path::new(self.variable("HOME")?).join(DEFAULT_HOME));
        own.map(PathBuf::from).or_else(below)
    }

    /// Asks it for its version, if it is codex.
    pub async fn version(&self) -> Option<Version> {
        let program = self.words.first().filter(|_| self.is_codex())?;
        let launcher = self.launcher();
        let environment = self.environment("");
        Some(Version::of(&launcher, program, &self.workspace, environment).await)
    }

    /// Creates codex's home if it does not exist: codex does not.
    ///
    /// # Errors
    ///
    /// When the directory cannot be created.
    pub fn prepare(&self) -> io::Result<()> {
        match self.home().filter(|_| self.is_codex()) {
            Some(home) => DirBuilder::new().recursive(true).mode(0o700).create(home),
            None => Ok(()),
        }
    }

    /// The command line, for a new conversation or to resume the last one.
    pub fn command_line(&self, resume: bool) -> Vec<OsString> {
        let mut words = self.words.clone();
        if self.is_codex() {
            let rest = words.split_off(1);
            words.extend(
                self.overrides()
                    .into_iter()
                    .flat_map(|set| [SET.to_owned(), set]),
            );
            if !self.alternate_screen && !rest.iter().any(|word| word == NO_ALTERNATE_SCREEN) {
                words.push(NO_ALTERNATE_SCREEN.to_owned());
            }
            words.extend(rest);
            if resume {
                words.extend(RESUME.map(str::to_owned));
            }
        }
        let words = self.launcher().into_iter().chain(words);
        words.map(OsString::from).collect()
    }

    /// What makes it run as its user.
    fn launcher(&self) -> Vec<String> {
        self.user.map_or_else(Vec::new, RunAs::launcher)
    }

    /// The whole environment of the program; `run` marks all that it starts.
    pub fn environment(&self, run: &str) -> Vec<(OsString, OsString)> {
        let passed = |name: &OsStr| self.passed.iter().any(|pass| name == pass.as_str());
        let inherited = |name: &OsStr| INHERITED.iter().any(|inherit| name == *inherit);
        let own = self.environment.iter();
        let own = own
            .filter(|(name, _)| passed(name) || inherited(name))
            .cloned();
        let fixed = TERMINAL.into_iter().chain([(MARKER, run)]);
        let fixed = fixed.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        own.chain(fixed).collect()
    }

    /// The settings for this run. Those that the user has made are kept, except
    /// for the background daemon, which would outlive the run, and the update
    /// dialog, which nobody would answer.
    fn overrides(&self) -> Vec<String> {
        let config = self.config();
        let mut overrides = SETTINGS.map(str::to_owned).to_vec();
        let screen = table(&config, SCREEN_SETTINGS);
        if !screen.is_some_and(|screen| screen.contains_key(ANIMATIONS)) {
            overrides.push(format!("{SCREEN_SETTINGS}.{ANIMATIONS}=false"));
        }
        overrides.push(submit_keys(screen));
        if self.is_trusted {
            overrides.extend(self.trust(&config));
        }
        overrides
    }

    /// Declares the workspace trusted, unless the user has decided about it.
    fn trust(&self, config: &toml::Table) -> Option<String> {
        // The override replaces the whole table: it holds the user's entries, too.
        let mut projects = table(config, PROJECTS).map_or_else(toml::Table::new, Clone::clone);
        let workspace = self.workspace.to_string_lossy().into_owned();
        if projects.contains_key(&workspace) {
            return None;
        }
        let (trust, level) = TRUST;
        let trusted = toml::Table::from_iter([(trust.to_owned(), level.into())]);
        projects.insert(workspace, trusted.into());
        Some(format!("{PROJECTS}={}", toml::Value::from(projects)))
    }

    /// The user's configuration. Where it cannot be read codex itself refuses to
    /// start, and says why on its screen.
    fn config(&self) -> toml::Table {
        let Some(path) = self.home().map(|home| home.join(CONFIG)) else {
            return toml::Table::new();
        };
        let read = match fs::read_to_string(&path) {
            Ok(text) => text.parse().map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(toml::Table::new()),
            Err(error) => Err(error),
        };
        read.unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "cannot read codex's configuration");
            toml::Table::new()
        })
    }

    fn variable(&self, name: &str) -> Option<&OsStr> {
        let mut all = self.environment.iter();
        all.find_map(|(key, value)| (key == name).then_some(value.as_os_str()))
    }
}

fn table<'a>(config: &'a toml::Table, name: &str) -> Option<&'a toml::Table> {
    config.get(name).and_then(toml::Value::as_table)
}

/// Adds ours to the keys that submit what is in the input line.
fn submit_keys(screen: Option<&toml::Table>) -> String {
    let input = screen.and_then(|screen| table(table(screen, KEYS)?, INPUT_KEYS));
    let mut keys = match input.and_then(|input| input.get(SUBMIT_KEYS)) {
        None => vec![SUBMIT_DEFAULT.into()],
        Some(toml::Value::Array(keys)) => keys.clone(),
        Some(key) => vec![key.clone()],
    };
    keys.push(SUBMIT_KEY.into());
    let keys = toml::Value::from(keys);
    format!("{SCREEN_SETTINGS}.{KEYS}.{INPUT_KEYS}.{SUBMIT_KEYS}={keys}")
}
