//! A program in a terminal of its own: session leader, fixed size.
//!
//! Three threads, since a terminal's ends block: one writes, one waits for the
//! end, and the reader is the caller's.

mod processes;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    ffi::OsString,
    fmt,
    io::{self, Read},
    num::NonZeroU16,
    path::PathBuf,
    thread,
};

use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;
use tokio::sync::watch;

pub use self::processes::{Reaper, become_subreaper, kill_descendants};
pub use self::writer::{WriteError, Writer};

/// What to run, and in what.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// The directory it works in.
    pub directory: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The terminal's lines.
    pub rows: NonZeroU16,
    /// The terminal's columns.
    pub columns: NonZeroU16,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With an exit code.
    Code(u32),
    /// By a signal, as the system names it.
    Signal(String),
    /// Nobody can say.
    Unknown(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "it exited with code {code}"),
            Self::Signal(signal) => write!(formatter, "it was ended by a signal: {signal}"),
            Self::Unknown(reason) => write!(formatter, "it is gone: {reason}"),
        }
    }
}

/// Why a program does not run.
#[derive(Debug, Error)]
#[error("cannot run {program}: {reason}")]
pub struct SpawnError {
    program: String,
    reason: String,
}

/// A running program, and the controlling end of its terminal.
#[derive(Debug)]
pub struct Pty {
    pid: Pid,
    writer: Writer,
    exit: watch::Receiver<Option<Exit>>,
}

/// The program's output. It ends when nobody has the terminal open any more.
pub type Output = Box<dyn Read + Send>;

impl Pty {
    /// Runs a program.
    ///
    /// # Errors
    ///
    /// When there is no such program, or no terminal.
    pub fn spawn(command: &Command) -> Result<(Self, Output), SpawnError> {
        let fail = |reason: String| SpawnError {
            program: command
                .words
                .first()
                .map_or_else(String::new, |word| word.to_string_lossy().into_owned()),
            reason,
        };
        Self::try_spawn(command).map_err(|error| fail(format!("{error:#}")))
    }

    fn try_spawn(command: &Command) -> anyhow::Result<(Self, Output)> {
        let pair = native_pty_system().openpty(PtySize {
            rows: command.rows.get(),
            cols: command.columns.get(),
            pixel_width: 0,
            pixel_height: 0,
        })?;
        let mut builder = CommandBuilder::from_argv(command.words.clone());
        builder.cwd(&command.directory);
        builder.env_clear();
        for (name, value) in &command.environment {
            builder.env(name, value);
        }
        let output = pair.master.try_clone_reader()?;
        let input = pair.master.take_writer()?;
        let child = pair.slave.spawn_command(builder)?;
        // Ours would keep the output from ever ending.
        drop(pair.slave);
        let pid = child
            .process_id()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let pid = pid.ok_or_else(|| anyhow::anyhow!("it has no process id"))?;
        let exit = wait(child)?;
        let writer = Writer::new(input, exit.clone())?;
        Ok((Self { pid, writer, exit }, output))
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Its input.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.exit.borrow().clone()
    }

    /// Waits until it has ended.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|exit| exit.clone());
        ended.unwrap_or_else(|| Exit::Unknown("nobody waited for it".to_owned()))
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        if self.exit().is_none()
            && let Err(error) = kill_process(self.pid, signal)
        {
            tracing::debug!(%error, ?signal, "cannot send a signal");
        }
    }
}

/// Waits on a thread of its own.
fn wait(mut child: Box<dyn Child + Send + Sync>) -> io::Result<watch::Receiver<Option<Exit>>> {
    let (told, exit) = watch::channel(None);
    thread::Builder::new().name("wait".into()).spawn(move || {
        let exit = match child.wait() {
            Ok(status) => match status.signal() {
                Some(signal) => Exit::Signal(signal.to_owned()),
                None => Exit::Code(status.exit_code()),
            },
            Err(error) => Exit::Unknown(error.to_string()),
        };
        told.send_replace(Some(exit));
    })?;
    Ok(exit)
}
