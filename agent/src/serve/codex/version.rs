//! Which codex this is, and whether anybody has tried this agent with it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use super::interface::{SHOW_VERSION, TRIED, VERSION_BEFORE};

/// How long it may take to say its version.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Which codex this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// It says that it has this version.
    Known(String),
    /// It cannot be asked, for this reason.
    Unknown(String),
}

impl Version {
    /// Asks a program, in this directory and environment, by way of a launcher.
    pub(super) async fn of(
        launcher: &[String],
        program: &str,
        folder: &Path,
        environment: Vec<(OsString, OsString)>,
    ) -> Self {
        match Self::ask(launcher, program, folder, environment).await {
            Ok(version) => Self::Known(version),
            Err(reason) => Self::Unknown(reason),
        }
    }

    async fn ask(
        launcher: &[String],
        program: &str,
        folder: &Path,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<String, String> {
        let program = if program.contains('/') {
            folder.join(program)
        } else {
            PathBuf::from(program)
        };
        let launcher = launcher.iter().map(Path::new);
        let words: Vec<_> = launcher.chain([program.as_path()]).collect();
        let program_or_launcher = words[0];
        let mut command = Command::new(program_or_launcher);
        command
            .args(&words[1..])
            .arg(SHOW_VERSION)
            .current_dir(folder);
        command.env_clear().envs(environment);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(TIMEOUT, command.output()).await;
        let output = output.map_err(|_| format!("it says nothing for {TIMEOUT:?}"))?;
        let output = output.map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(output.status.to_string());
        }
        parse(&output.stdout)
    }

    /// Whether this agent was tried with it.
    pub fn is_tried(&self) -> bool {
        self.name().is_some_and(|version| TRIED.contains(&version))
    }

    /// What it is called, if that is known.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Known(version) => Some(version),
            Self::Unknown(_) => None,
        }
    }

    /// What a person should know of it, if there is anything.
    pub fn warning(&self) -> Option<String> {
        let tried = TRIED.join(", ");
        match self {
            _ if self.is_tried() => None,
            Self::Known(version) => Some(format!(
                "nobody has tried this agent with codex {version}: where it cannot tell what the screen shows, messages are refused with the screen; tried: {tried}"
            )),
            Self::Unknown(reason) => Some(format!(
                "codex does not say its version: {reason}; tried: {tried}"
            )),
        }
    }
}

/// The version in what codex prints; anything else is quoted.
fn parse(printed: &[u8]) -> Result<String, String> {
    let printed = String::from_utf8_lossy(printed);
    let version = printed.trim().strip_prefix(VERSION_BEFORE);
    let is_version = |version: &&str| {
        let mut characters = version.chars();
        version.len() <= 64 && characters.all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c))
    };
    let version = version.filter(|version| !version.is_empty() && is_version(version));
    version.map(str::to_owned).ok_or_else(|| {
        let begin: String = printed.chars().take(80).collect();
        format!("it prints {begin:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::{Version, parse};

    #[test]
    fn a_version_that_nobody_has_tried_is_said() {
        assert_eq!(parse(b"codex-cli 0.171.0\n").as_deref(), Ok("0.171.0"));
        for other in [
            &b""[..],
            b"codex-cli \n",
            b"codex-cli 1 2",
            b"0.171.0",
            b"\xff\x1b[2J",
        ] {
            assert!(parse(other).is_err());
        }
        let warning = |version: &str| Version::Known(version.to_owned()).warning();
        assert_eq!(warning("0.171.0"), None);
        let warned = warning("0.999.0-alpha.1").unwrap();
        assert!(warned.contains("0.999.0-alpha.1") && warned.contains("0.171.0"));
        let unknown = Version::Unknown("exit status: 1".to_owned());
        assert_eq!((unknown.name(), unknown.is_tried()), (None, false));
        assert!(unknown.warning().unwrap().contains("exit status: 1"));
    }
}
