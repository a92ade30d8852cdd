//! The server inside of `blockd attach REPO`: `blockd serve` in the background, for one
//! repository on this host, which ends when nothing is attached from it any more.
//!
//! ```text
//! STATE/servers/KEY/  socket   where it listens
//!                     lock     shared by attaches at work; the server ends when it gets it alone
//!                     start    held by who starts it
//!                     log      what it says
//!                     store/   its snapshots
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, OpenOptionsExt},
        net::UnixStream,
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use blockd_nbd::uri::{Address, NbdUri};

use crate::{
    attach::key,
    relay::{RelayProgram, inherit_nothing},
};

/// How long a server may take until it listens, or until it has ended.
const TIMEOUT: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(5);
/// The most bytes of the repository's path in the name of the directory: the path of a
/// socket has at most 107.
const MAX_WORDS_LEN: usize = 20;

/// The server of a repository on this host.
#[derive(Clone, Debug)]
pub struct LocalServer {
    repo: PathBuf,
    /// What stands behind the repository in the name of the export.
    export: String,
    directory: PathBuf,
    program: RelayProgram,
}

/// While it is held, the server does not end.
#[derive(Debug)]
#[expect(dead_code, reason = "held, not looked at")]
pub struct InUse(File);

impl LocalServer {
    /// The server of the repository in `PATH[@REV][:key=value]…`. `state` is the state
    /// directory of attach, and `program` this blockd, with what it may inherit.
    ///
    /// # Errors
    ///
    /// When there is no such directory.
    pub fn of(name: &str, state: &Path, program: RelayProgram) -> Result<Self> {
        let ends = name.match_indices(['@', ':']).map(|(end, _)| end);
        let mut ends = [name.len()].into_iter().chain(ends);
        // A directory may have an @ in its own name.
        let end = ends.find(|end| Path::new(&name[..*end]).is_dir());
        let Some((repo, export)) = end.map(|end| name.split_at(end)) else {
            bail!(
                "{name:?} is neither an NBD URI, as in nbd://HOST/REPO@REV, nor a directory of \
                 this host, as in ./REPO@REV"
            );
        };
        let repo = Path::new(repo)
            .canonicalize()
            .with_context(|| format!("cannot find {repo}"))?;
        let key = key(
            &repo.to_string_lossy(),
            MAX_WORDS_LEN,
            repo.as_os_str().as_bytes(),
        );
        Ok(Self {
            repo,
            export: export.to_owned(),
            directory: state.join("servers").join(key),
            program,
        })
    }

    /// What is attached from it.
    pub fn uri(&self) -> NbdUri {
        NbdUri {
            address: Address::Unix(self.socket()),
            export: self.export.clone(),
        }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    ///
    /// When it cannot be started, or does not listen in time.
    pub fn start(&self) -> Result<InUse> {
        let shown = self.repo.display();
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.directory);
        made.with_context(|| format!("cannot make {}", self.directory.display()))?;
        let starting = self.open("start")?;
        starting
            .lock()
            .with_context(|| format!("cannot lock {}", self.directory.display()))?;
        // One that is about to end has it, until it has ended.
        let in_use = self.open("lock")?;
        let is_free = wait(|| Ok(in_use.try_lock_shared().is_ok()))?;
        if !is_free {
            bail!("the server of {shown} is ending, and does not end");
        }
        if !self.listens() {
            let mut server = self.spawn()?;
            let listens = wait(|| match server.try_wait()? {
                Some(status) => bail!("the server of {shown} has ended, {status}: {}", self.log()),
                None => Ok(self.listens()),
            })?;
            if !listens {
                let _ended = server.kill();
                bail!("the server of {shown} does not listen: {}", self.log());
            }
        }
        Ok(InUse(in_use))
    }

    /// Whether it says something. The kernel still accepts for one that was killed.
    fn listens(&self) -> bool {
        let greeting = || {
            let mut connection = UnixStream::connect(self.socket())?;
            connection.set_read_timeout(Some(TIMEOUT))?;
            connection.read_exact(&mut [0])
        };
        greeting().is_ok()
    }

    fn open(&self, name: &str) -> Result<File> {
        let path = self.directory.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let opened = options.mode(0o600).open(&path);
        opened.with_context(|| format!("cannot open {}", path.display()))
    }

    fn spawn(&self) -> Result<Child> {
        let log = self.directory.join("log");
        let log = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        inherit_nothing().context("cannot close the caller's files")?;
        let program = &self.program.executable;
        let mut command = Command::new(program);
        // It is this repository's alone: what says how others are served is not for it.
        command
            .env_clear()
            .envs(self.program.environment.iter().cloned())
            .arg("serve")
            .arg("--repos")
            .arg(&self.repo)
            .args(["--allow", "/", "--show-hidden", "--revision-search"])
            .arg("--unix")
            .arg(self.socket())
            .arg("--state")
            .arg(self.directory.join("store"))
            .arg("--ends-unused")
            .arg(self.directory.join("lock"))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))
    }

    /// The end of what it has said.
    fn log(&self) -> String {
        let path = self.directory.join("log");
        match fs::read(&path) {
            Ok(log) => {
                let log = String::from_utf8_lossy(&log).into_owned();
                let last = log.lines().last().unwrap_or("it has said nothing");
                last.trim_start_matches("blockd: ").to_owned()
            }
            Err(error) => format!("{}: {error}", path.display()),
        }
    }
}

/// Waits until something is so; `false` when that takes too long.
fn wait(mut is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > TIMEOUT {
            return Ok(false);
        }
        thread::sleep(INTERVAL);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_ends_where_its_directory_does() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for name in ["plain", "with@at"] {
            fs::create_dir(top.join(name)).unwrap();
        }
        let of = |name: &str| {
            let name = format!("{}/{name}", top.display());
            let program = RelayProgram {
                executable: "/blockd".into(),
                environment: Vec::new(),
            };
            LocalServer::of(&name, Path::new("/state"), program)
        };
        for (name, repo, export) in [
            ("plain", "plain", ""),
            ("plain@main:uid=7", "plain", "@main:uid=7"),
            ("plain:history=none", "plain", ":history=none"),
            ("with@at", "with@at", ""),
            ("with@at@main", "with@at", "@main"),
        ] {
            let server = of(name).unwrap();
            assert_eq!(
                (server.repo, server.export.as_str()),
                (top.join(repo), export)
            );
        }
        let error = of("missing@main").unwrap_err().to_string();
        assert!(error.contains("neither an NBD URI"), "{error}");
    }
}
