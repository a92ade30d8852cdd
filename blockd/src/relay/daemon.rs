//! A relay in the background.
//!
//! ```text
//! attach ─exec─► relay-daemon ─setsid, exec─► relay-daemon --detached: serves
//!    ▲              │ exits: the relay's parent is init     │
//!    └── one line ◄─┴── one line: Greeting ◄────────────────┘
//! ```
//! Both processes get their options on standard input, and of the caller's
//! environment only what [`RelayProgram`] holds.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Write},
    os::fd::{BorrowedFd, RawFd},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::{
    io::{Errno, FdFlags, fcntl_setfd},
    process::setsid,
};

use super::protocol::{Greeting, RelayOptions};

/// The program that is started as a relay in the background.
#[derive(Clone, Debug)]
pub struct RelayProgram {
    /// Path of the `blockd` executable.
    pub executable: PathBuf,
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
}

impl RelayProgram {
    /// The command that starts a relay and ends when the relay is ready or has
    /// failed; its standard output is a [`Greeting`].
    ///
    /// # Errors
    ///
    /// There is no memory for the file with the options.
    pub(crate) fn command(&self, options: &RelayOptions) -> Result<Command> {
        let mut command = Command::new(&self.executable);
        command
            .arg("relay-daemon")
            .current_dir("/")
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(options.to_file()?)
            .stdout(Stdio::piped());
        Ok(command)
    }
}

/// Leaves the terminal, starts the relay, passes its greeting on, and lets
/// init be its parent.
///
/// # Errors
///
/// The relay cannot be started, for the reason that its greeting says.
pub fn launch(program: &RelayProgram, options: &RelayOptions) -> Result<()> {
    // Fails for the leader of a process group, as a job of a shell is: that
    // has ended when the shell sends its jobs a signal.
    if let Err(error) = setsid() {
        tracing::debug!("the relay stays in this session: {error}");
    }
    inherit_nothing().context("cannot keep the caller's open files from the relay")?;
    let mut relay = program
        .command(options)?
        .arg("--detached")
        .arg(&options.unix)
        .spawn()
        .with_context(|| format!("cannot start {}", program.executable.display()))?;
    let pipe = relay.stdout.take().context("the relay has no pipe")?;
    let mut line = String::new();
    BufReader::new(pipe).read_line(&mut line)?;
    let greeting = match serde_json::from_str(&line) {
        Ok(greeting) => greeting,
        Err(_) => Greeting::Failed("the relay died; its log says why".to_owned()),
    };
    greet(&greeting).context("nobody reads the relay's greeting")?;
    match greeting {
        Greeting::Ready => Ok(()),
        Greeting::Failed(reason) => bail!("{reason}"),
    }
}

/// Writes the greeting to standard output.
pub(super) fn greet(greeting: &Greeting) -> io::Result<()> {
    let mut line = serde_json::to_vec(greeting)?;
    line.push(b'\n');
    let mut pipe = io::stdout().lock();
    pipe.write_all(&line)?;
    pipe.flush()
}

/// Closes in every program started from here on what this one has open beyond
/// the standard streams: a file that the caller left open (a lock, a pipe)
/// would stay open for as long as the disk is attached.
///
/// # Errors
///
/// `/proc/self/fd` cannot be read.
pub(crate) fn inherit_nothing() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|number| number.parse().ok());
        let number: RawFd = number.ok_or(io::ErrorKind::InvalidData)?;
        if number <= 2 {
            continue;
        }
        // SAFETY: the descriptor was open a moment ago; were it closed since,
        // the call would fail with EBADF and do nothing.
        #[expect(unsafe_code, reason = "descriptors of others have no safe handle")]
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        match fcntl_setfd(file, FdFlags::CLOEXEC) {
            Ok(()) | Err(Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
