//! How codex is called, so that it comes up without a dialog: its command
//! line, its home and its environment. Nothing that the user put into the home
//! is changed: all is said on the command line, for this run.

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

/// What of our own environment a program gets, besides the secrets it is
/// granted by name: where things are, and how to reach the network.
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

/// Names the run in the environment of all that it starts.
pub const MARKER: &str = "AGENT_RUN";

/// What is to be run, and where.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program and its arguments, as the user gave them.
    pub words: Vec<String>,
    /// The directory it works in.
    pub workspace: PathBuf,
    /// Our own environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Names of variables that it gets besides: its key.
    pub granted: Vec<String>,
    /// Whether codex may use the alternate screen; its output is then no
    /// readable log.
    pub alternate_screen: bool,
}

impl Program {
    /// Whether it is codex, and not any other terminal program.
    pub fn is_codex(&self) -> bool {
        let name = self.words.first().map(Path::new).and_then(Path::file_name);
        name == Some(OsStr::new("codex"))
    }

    /// Codex's home, if there is one to be found.
    pub fn home(&self) -> Option<PathBuf> {
        let own = self.variable("CODEX_HOME").filter(|home| !home.is_empty());
        let below = || Some(Path::new(self.variable("HOME")?).join(".codex"));
        own.map(PathBuf::from).or_else(below)
    }

    /// Makes codex's home where there is none: codex does not.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub fn prepare(&self) -> io::Result<()> {
        match self.home().filter(|_| self.is_codex()) {
            Some(home) => DirBuilder::new().recursive(true).mode(0o700).create(home),
            None => Ok(()),
        }
    }

    /// The command line, of a new conversation or of the last one.
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

    /// Its whole environment.
    pub fn environment(&self, run: &str) -> Vec<(OsString, OsString)> {
        let granted = |name: &OsStr| self.granted.iter().any(|grant| name == grant.as_str());
        let inherited = |name: &OsStr| INHERITED.iter().any(|inherit| name == *inherit);
        let own = self.environment.iter();
        let own = own
            .filter(|(name, _)| granted(name) || inherited(name))
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

    /// What codex is told for this run. What the user decided stays, but for
    /// the background daemon, which would outlive the run, and the update
    /// dialog, which nobody would answer.
    fn overrides(&self) -> Vec<String> {
        let config = self.config();
        let mut overrides = vec![
            "features.daemon_auto_start=false".to_owned(),
            "check_for_update_on_startup=false".to_owned(),
        ];
        let decided = |path: &[&str]| {
            let mut at = Some(&config);
            for name in path {
                at = at
                    .and_then(|table| table.get(*name))
                    .and_then(toml::Value::as_table);
            }
            at.cloned().unwrap_or_default()
        };
        if !decided(&["tui"]).contains_key("animations") {
            overrides.push("tui.animations=false".to_owned());
        }
        let mut projects = decided(&["projects"]);
        let workspace = self.workspace.to_string_lossy().into_owned();
        if !projects.contains_key(&workspace) {
            let trusted = toml::Table::from_iter([("trust_level".to_owned(), "trusted".into())]);
            projects.insert(workspace, trusted.into());
            let projects = toml::Value::from(projects);
            overrides.push(format!("projects={projects}"));
        }
        overrides
    }

    /// The user's configuration; codex itself says what is wrong with it.
    fn config(&self) -> toml::Table {
        let path = self.home().map(|home| home.join("config.toml"));
        let text = path.and_then(|path| fs::read_to_string(path).ok());
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    fn variable(&self, name: &str) -> Option<&OsStr> {
        let mut all = self.environment.iter();
        all.find_map(|(key, value)| (key == name).then_some(value.as_os_str()))
    }
}
