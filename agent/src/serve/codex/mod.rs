//! How codex is started so that it comes up without a dialog: its command line,
//! its home and its environment. The user's files in the home stay as they are:
//! settings for a run are passed on the command line.

pub mod composer;
mod interface;
mod rollout;
#[cfg(test)]
mod tests;

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

pub use self::rollout::Rollouts;

/// The variables that a program inherits from this process, besides those that
/// are passed by name: where things are, and how to reach the network.
const INHERITED: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TZ",
    "TMPDIR",
    "CODEX_HOME",
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
}

impl Program {
    /// Whether it is codex, and not any other terminal program.
    pub fn is_codex(&self) -> bool {
        let name = self.words.first().map(Path::new).and_then(Path::file_name);
        name == Some(OsStr::new("codex"))
    }

    /// Codex's home: `CODEX_HOME`, or `.codex` in `HOME`.
    pub fn home(&self) -> Option<PathBuf> {
        let own = self.variable("CODEX_HOME").filter(|home| !home.is_empty());
        let below = || Some(Path::new(self.variable("HOME")?).join(".codex"));
        own.map(PathBuf::from).or_else(below)
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
                    .flat_map(|set| ["-c".to_owned(), set]),
            );
            if !self.alternate_screen && !rest.iter().any(|word| word == "--no-alt-screen") {
                words.push("--no-alt-screen".to_owned());
            }
            words.extend(rest);
            if resume {
                words.extend(["resume", "--last"].map(str::to_owned));
            }
        }
        words.into_iter().map(OsString::from).collect()
    }

    /// The whole environment of the program; `run` marks all that it starts.
    pub fn environment(&self, run: &str) -> Vec<(OsString, OsString)> {
        let passed = |name: &OsStr| self.passed.iter().any(|pass| name == pass.as_str());
        let inherited = |name: &OsStr| INHERITED.iter().any(|inherit| name == *inherit);
        let own = self.environment.iter();
        let own = own
            .filter(|(name, _)| passed(name) || inherited(name))
            .cloned();
        let fixed = [
            ("TERM", "xterm-256color"),
            ("COLORTERM", "truecolor"),
            ("LANG", "C.UTF-8"),
            (MARKER, run),
        ];
        let fixed = fixed.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        own.chain(fixed).collect()
    }

    /// The settings for this run. Those that the user has made are kept, except
    /// for the background daemon, which would outlive the run, and the update
    /// dialog, which nobody would answer.
    fn overrides(&self) -> Vec<String> {
        let config = self.config();
        let table = |name: &str| config.get(name).and_then(toml::Value::as_table);
        let mut overrides = vec![
            "features.daemon_auto_start=false".to_owned(),
            "check_for_update_on_startup=false".to_owned(),
        ];
        if !table("tui").is_some_and(|tui| tui.contains_key("animations")) {
            overrides.push("tui.animations=false".to_owned());
        }
        // The override replaces the whole table: it holds the user's entries, too.
        let mut projects = table("projects").map_or_else(toml::Table::new, Clone::clone);
        let workspace = self.workspace.to_string_lossy().into_owned();
        if !projects.contains_key(&workspace) {
            let trusted = toml::Table::from_iter([("trust_level".to_owned(), "trusted".into())]);
            projects.insert(workspace, trusted.into());
            let projects = toml::Value::from(projects);
            overrides.push(format!("projects={projects}"));
        }
        overrides
    }

    /// The user's configuration. Where it cannot be read codex itself refuses to
    /// start, and says why on its screen.
    fn config(&self) -> toml::Table {
        let Some(path) = self.home().map(|home| home.join("config.toml")) else {
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
