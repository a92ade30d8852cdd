//! A relay in the background.
//!
//! ```text
//! attach ─────────┐ exec          one line: Greeting
//! relay --daemon ─┴──► relay-daemon ───────────────► both end: the relay's
//!                      setsid, serves                parent is init
//! ```
//! It gets its options on standard input, and of the caller's environment only
//! what [`RelayProgram`] holds.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Write},
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::{
    io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd},
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
    /// The command that is a relay in the background. On its standard output it
    /// writes a [`Greeting`] when it serves or has failed.
    ///
    /// # Errors
    ///
    /// There is no memory for the file with the options.
    pub(crate) fn command(&self, options: &RelayOptions) -> Result<Command> {
        let mut command = Command::new(&self.executable);
        command
            .arg("relay-daemon")
            .arg(&options.unix)
            .current_dir("/")
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(options.to_file()?)
            .stdout(Stdio::piped());
        Ok(command)
    }
}

/// Starts the relay, waits until it serves, and passes its greeting on.
///
/// # Errors
///
/// The relay cannot be started, for the reason that its greeting says.
pub fn launch(program: &RelayProgram, options: &RelayOptions) -> Result<()> {
    inherit_nothing().context("cannot keep the caller's open files from the relay")?;
    let mut relay = program
        .command(options)?
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

/// Leaves the terminal of whoever has started this process.
pub(super) fn leave_terminal() {
    // Fails for the leader of a process group, as a job of a shell is: that
    // has ended when the shell sends its jobs a signal.
    if let Err(error) = setsid() {
        tracing::debug!("the relay stays in this session: {error}");
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

/// What this process was given open beyond the standard streams: the lock of
/// the attach that starts it, and what the caller of that left open. Closed when
/// it is dropped.
#[derive(Debug)]
pub struct Inherited(#[expect(dead_code, reason = "held, and closed")] Vec<OwnedFd>);

impl Inherited {
    /// Takes them all. Must be called before this process opens a file or starts
    /// a thread.
    ///
    /// # Errors
    ///
    /// `/proc/self/fd` cannot be read.
    pub fn take() -> io::Result<Self> {
        let numbers = open_files()?;
        let files = numbers.into_iter().map(|number| {
            // SAFETY: it was open before anything in this process opened a file,
            // so nothing else in it owns it.
            #[expect(unsafe_code, reason = "descriptors of others have no safe handle")]
            unsafe {
                OwnedFd::from_raw_fd(number)
            }
        });
        Ok(Self(files.collect()))
    }
}

/// Closes in every program started from here on what this one has open beyond
/// the standard streams: a file that the caller left open (a lock, a pipe)
/// would stay open for as long as the disk is attached.
///
/// # Errors
///
/// `/proc/self/fd` cannot be read.
pub(crate) fn inherit_nothing() -> io::Result<()> {
    for number in open_files()? {
        match fcntl_setfd(borrowed(number), FdFlags::CLOEXEC) {
            Ok(()) | Err(Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What is open beyond the standard streams.
fn open_files() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|number| number.parse().ok());
        numbers.push(number.ok_or(io::ErrorKind::InvalidData)?);
    }
    // That of the directory itself is closed by now.
    numbers.retain(|&number| number > 2 && fcntl_getfd(borrowed(number)).is_ok());
    Ok(numbers)
}

fn borrowed(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: the descriptor was open a moment ago; were it closed since, the
    // calls that it is for would fail with EBADF and do nothing.
    #[expect(unsafe_code, reason = "descriptors of others have no safe handle")]
    unsafe {
        BorrowedFd::borrow_raw(number)
    }
}
