//! An exercise as it lies on this machine.
//!
//! ```text
//! exercise/repository/   the base, with its faults; blockd serves it at ./socket
//!          views/0 …     one for each part: the agents work there
//!          views/judge   nobody works there; views/read-only takes no changes
//! ```

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{
    Options, below,
    view::{View, detach_all, folder},
};
use crate::{
    machine::user::User,
    smoke::exercise::{Exercise, Part},
};

/// The user and group that own nothing.
const NOBODY: u32 = 65534;
/// How long a program of ours may take to end; codex in it gets 5 s.
const ENDING: Duration = Duration::from_secs(15);

/// An exercise that is laid out.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) exercise: &'static Exercise,
    pub(super) views: Vec<View>,
    pub(super) user: User,
    /// Who runs suites: what agents have left can do nothing to them.
    pub(super) judge: User,
    options: Tools,
    folder: PathBuf,
    server: Program,
    agents: Vec<Program>,
}

/// The options live as long as the ground; what of them is needed here.
#[derive(Debug)]
struct Tools(Options);

/// A program of ours, and what it says: unheard it would block.
#[derive(Debug)]
struct Program {
    child: Child,
    _said: Lines<BufReader<ChildStdout>>,
}

impl Laid {
    /// Writes the base, and serves it.
    pub(super) async fn new(options: &Options, exercise: &'static Exercise) -> Result<Self> {
        let folder = folder(options);
        detach_all(options).await?;
        remove(&folder)?;
        let repository = folder.join("repository");
        for file in exercise.files {
            let path = repository.join(file.path);
            fs::create_dir_all(path.parent().unwrap_or(&repository))?;
            fs::write(&path, file.text)?;
            let mode = if file.is_program() { 0o755 } else { 0o644 };
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
            options: Tools(options.copied()),
            folder,
            server,
            agents: Vec::new(),
        })
    }

    /// Attaches a view for each part, one to judge on, and a read-only one.
    pub(super) async fn attach(&mut self) -> Result<()> {
        let parts = 0..self.exercise.parts.len();
        let own = parts.map(|part| part.to_string());
        let socket = self.folder.join("socket");
        for name in own.chain(["judge".to_owned(), "read-only".to_owned()]) {
            let path = self.folder.join("views").join(&name);
            let user = if name == "judge" {
                self.judge
            } else {
                self.user
            };
            let view = View::attach(&self.options.0, &socket, (path, user)).await?;
            self.views.push(view);
        }
        Ok(())
    }

    /// Takes all of it away, whatever of it fails; the first failure. Also what
    /// an attach has left that was cut short.
    pub(super) async fn take_away(mut self) -> Result<()> {
        let mut outcome = Ok(());
        for agent in &mut self.agents {
            outcome = outcome.and(agent.end().await);
        }
        let detached = detach_all(&self.options.0).await;
        outcome = outcome.and(self.server.end().await);
        // Below a view that is still attached, nothing may be removed.
        detached?;
        remove(&self.folder)?;
        outcome
    }

    /// An `agent serve` on the view of a part, as the user; its port.
    pub(super) async fn agent(&mut self, part: usize) -> Result<u16> {
        self.part(part)?;
        let options = &self.options.0;
        let logs = self.folder.join(format!("logs-{part}"));
        fs::create_dir_all(&logs)?;
        self.user.own(&logs)?;
        let mut serve = self.user.command(options.agent.as_os_str());
        let listen = std::net::SocketAddr::new(options.listen.ip(), 0);
        serve.args(["serve", "--listen", &listen.to_string()]);
        serve.arg("--workspace").arg(&self.views[part].path);
        serve.arg("--log-dir").arg(logs);
        if let Some(file) = &options.token_file {
            serve.arg("--token-file").arg(file);
        }
        let (agent, ready) = Program::start(&mut serve).await?;
        self.agents.push(agent);
        let found = ready
            .split_once("http://")
            .and_then(|(_, rest)| rest.split('/').next())
            .and_then(|address| address.rsplit_once(':'))
            .and_then(|(_, port)| port.parse().ok());
        found.with_context(|| format!("agent serve says {ready}"))
    }

    /// Puts what some parts have repaired into the view of another.
    pub(super) fn hand(&self, to: usize, from: &[usize]) -> Result<()> {
        self.part(to)?;
        let target = self.views[to].path.clone();
        self.repairs(from, &target)
    }

    /// Copies the files of parts, and no others, from their views.
    pub(super) fn repairs(&self, parts: &[usize], target: &Path) -> Result<()> {
        for part in parts {
            for name in self.part(*part)?.files {
                // A link could show us what the agent may not see itself.
                let repaired = below::read(&self.views[*part].path, name)?;
                below::write(target, name, &repaired)?;
            }
        }
        Ok(())
    }

    pub(super) fn part(&self, part: usize) -> Result<&'static Part> {
        let found = self.exercise.parts.get(part);
        found.with_context(|| format!("{} has no part {part}", self.exercise.name))
    }

    /// Behind those of the parts.
    pub(super) fn judge_view(&self) -> &Path {
        &self.views[self.exercise.parts.len()].path
    }

    pub(super) fn read_only_view(&self) -> &Path {
        &self.views[self.exercise.parts.len() + 1].path
    }
}

impl Program {
    /// Starts it, and waits until it has said its first line.
    async fn start(command: &mut Command) -> Result<(Self, String)> {
        let name = command.as_std().get_program().display().to_string();
        let started = command.stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = started.with_context(|| format!("cannot start {name}"))?;
        let output = child.stdout.take().context("no standard output")?;
        let mut said = BufReader::new(output).lines();
        let ready = said.next_line().await?;
        let ready = ready.with_context(|| format!("{name} has ended at once"))?;
        Ok((Self { child, _said: said }, ready))
    }

    async fn end(&mut self) -> Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = self
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // It may have ended just now.
            let _told = kill_process(pid, Signal::TERM);
        }
        match timeout(ENDING, self.child.wait()).await {
            Ok(ended) => ended.map(drop)?,
            Err(_) => self.child.kill().await?,
        }
        Ok(())
    }
}

impl Options {
    fn copied(&self) -> Self {
        Self {
            listen: self.listen,
            directory: self.directory.clone(),
            blockd: self.blockd.clone(),
            agent: self.agent.clone(),
            token_file: self.token_file.clone(),
            token: self.token.clone(),
            user: self.user,
        }
    }
}

/// Another one than the agents, where we can be another one at all.
fn judge(agents: User) -> User {
    if agents == User::own_self() {
        return agents;
    }
    User {
        uid: NOBODY,
        gid: NOBODY,
    }
}

/// The base is the same commit on every machine and each time.
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
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "smoke")
                .env(format!("GIT_{who}_EMAIL"), "smoke@localhost")
                .env(format!("GIT_{who}_DATE"), "2026-01-01T00:00:00Z");
        }
        let output = git.output().await.context("there is no git")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git: {}", told.trim());
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
