//! A deployed exercise.
//!
//! ```text
//! exercise/repository/   the base, with its faults; blockd serves it at ./socket
//!          views/0 …     one for each part: agents work there
//!          views/judge   for test suites alone; views/read-only takes no changes
//! ```

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::{
    confined,
    options::Options,
    program::Program,
    view::{View, detach_all},
};
use crate::{
    machine::user::User,
    mode::Mode,
    smoke::exercise::{Exercise, Part},
};

/// The user and group `nobody` of Debian, who own nothing.
const NOBODY: u32 = 65534;

/// A deployed exercise.
#[derive(Debug)]
pub(super) struct Deployed {
    pub(super) exercise: &'static Exercise,
    /// One for each part, then the one to judge on, then the read-only one.
    pub(super) views: Vec<View>,
    /// The user that agents run as.
    pub(super) user: User,
    /// The user that test suites run as; processes that agents left cannot reach them.
    pub(super) judge: User,
    pub(super) options: Arc<Options>,
    folder: PathBuf,
    server: Program,
    agents: Vec<Program>,
}

impl Deployed {
    /// Writes the base, and serves it. Views are still to be attached.
    pub(super) async fn new(options: &Arc<Options>, exercise: &'static Exercise) -> Result<Self> {
        let folder = options.exercise();
        detach_all(options).await?;
        remove(&folder)?;
        let repository = folder.join("repository");
        for file in exercise.files {
            let path = repository.join(file.path);
            fs::create_dir_all(path.parent().expect("a joined path has a parent"))?;
            fs::write(&path, file.text)?;
            let mode = if file.is_executable() { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        commit(&repository).await?;
        let mut serve = Command::new(&options.blockd);
        serve.arg("serve").arg("--repos").arg(&repository);
        serve.arg("--unix").arg(folder.join("socket"));
        serve.arg("--state").arg(folder.join("served"));
        let (server, _ready) = Program::start(&mut serve).await?;
        Ok(Self {
            exercise,
            views: Vec::new(),
            user: options.user,
            judge: judge(options.user),
            options: Arc::clone(options),
            folder,
            server,
            agents: Vec::new(),
        })
    }

    /// Attaches a view for each part, one to judge on, and a read-only one.
    pub(super) async fn attach(&mut self) -> Result<()> {
        let parts = 0..self.exercise.parts.len();
        let agents = parts.map(|part| (part.to_string(), self.user, Mode::ReadWrite));
        let judge = ("judge".to_owned(), self.judge, Mode::ReadWrite);
        let read_only = ("read-only".to_owned(), self.user, Mode::ReadOnly);
        let socket = self.folder.join("socket");
        for (name, user, mode) in agents.chain([judge, read_only]) {
            let view = View::attach(&self.options, &socket, &name, (user, mode)).await?;
            self.views.push(view);
        }
        Ok(())
    }

    /// Removes all of it, also what an interrupted attach has left. Returns the first
    /// failure, after everything was tried.
    pub(super) async fn remove(mut self) -> Result<()> {
        let mut outcome = Ok(());
        for agent in &mut self.agents {
            outcome = outcome.and(agent.end().await);
        }
        let detached = detach_all(&self.options).await;
        outcome = outcome.and(self.server.end().await);
        // Nothing may be removed inside a view that is still attached.
        detached?;
        remove(&self.folder)?;
        outcome
    }

    /// Starts `agent serve` on the view of a part; its port.
    pub(super) async fn start_agent(&mut self, part: usize) -> Result<u16> {
        self.part(part)?;
        let options = &self.options;
        let logs = self.folder.join(format!("logs-{part}"));
        fs::create_dir_all(&logs)?;
        let (codex, server) = (self.user, options.server);
        server.chown(&logs)?;
        let mut words = Vec::new();
        if codex != server {
            words.extend(server.server_words(codex));
        }
        words.push(options.agent.clone().into_os_string());
        let mut serve = User::current().command(&words[0], &options.environment);
        serve.args(&words[1..]);
        let listen = SocketAddr::new(options.listen.ip(), 0);
        serve.args(["serve", "--listen", &listen.to_string()]);
        serve.arg("--workspace").arg(&self.views[part].path);
        serve.env("AGENT_TRUST_WORKSPACE", "1").arg("--log-dir");
        serve.arg(logs);
        if codex != server {
            serve.arg(format!("--run-as={}:{}", codex.uid, codex.gid));
        }
        let token = self.folder.join(format!("token-{part}"));
        server.write_secret(&token, &options.token.to_string())?;
        serve.arg("--token-file").arg(token);
        let (agent, ready) = Program::start(&mut serve).await?;
        self.agents.push(agent);
        port(&ready).with_context(|| format!("the output of agent serve has no port: {ready}"))
    }

    /// Copies what some parts have repaired into the view of another.
    pub(super) fn copy(&self, from: &[usize], to: usize) -> Result<()> {
        self.part(to)?;
        let target = self.views[to].path.clone();
        self.copy_repairs(from, &target)
    }

    /// Copies the files of parts, and no others, from their views.
    pub(super) fn copy_repairs(&self, parts: &[usize], target: &Path) -> Result<()> {
        for part in parts {
            for name in self.part(*part)?.files {
                // Through a link the agent could have us read what it may not.
                let repaired = confined::read(&self.views[*part].path, name.as_ref())?;
                confined::write(target, name.as_ref(), &repaired)?;
            }
        }
        Ok(())
    }

    fn part(&self, part: usize) -> Result<&'static Part> {
        let found = self.exercise.parts.get(part);
        found.with_context(|| format!("exercise {} has no part {part}", self.exercise.name))
    }

    pub(super) fn judge_view(&self) -> &Path {
        &self.views[self.exercise.parts.len()].path
    }

    pub(super) fn read_only_view(&self) -> &Path {
        &self.views[self.exercise.parts.len() + 1].path
    }
}

/// The port in a line like `serving … http://ADDRESS:PORT/…`.
fn port(line: &str) -> Option<u16> {
    let (_, url) = line.split_once("http://")?;
    let (address, _) = url.split_once('/').unwrap_or((url, ""));
    let (_, port) = address.rsplit_once(':')?;
    port.parse().ok()
}

/// Another user than that of the agents, if we may change the user at all.
fn judge(agents: User) -> User {
    if agents == User::current() {
        return agents;
    }
    User {
        uid: NOBODY,
        gid: NOBODY,
    }
}

/// Commits the base: the same commit on every machine, each time.
async fn commit(repository: &Path) -> Result<()> {
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &["commit", "--quiet", "--message=The exercise"],
    ] {
        let mut git = Command::new("git");
        git.arg("-C").arg(repository).args(arguments);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "smoke")
                .env(format!("GIT_{role}_EMAIL"), "smoke@localhost")
                .env(format!("GIT_{role}_DATE"), "2026-01-01T00:00:00Z");
        }
        let output = git.output().await.context("cannot run git")?;
        let messages = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git: {}", messages.trim());
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::port;

    #[test]
    fn the_port_of_an_agent_is_in_its_first_line() {
        for (line, expected) in [
            ("serving at http://127.0.0.1:41/live/view", Some(41)),
            ("serving at http://[::1]:41", Some(41)),
            ("serving at http://127.0.0.1/", None),
            ("serving", None),
        ] {
            assert_eq!(port(line), expected, "{line}");
        }
    }
}
