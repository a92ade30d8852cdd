//! A program in a pseudo-terminal of its own: session leader.
//!
//! Since both ends of a terminal block, three threads serve it: one writes, one
//! waits for the program to end, and the caller reads on the third.

mod exit;
mod processes;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    ffi::OsString,
    fmt,
    io::{self, Read},
    num::NonZeroU16,
    os::unix::fs::chown,
    path::PathBuf,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use anyhow::Context;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use thiserror::Error;
use tokio::sync::watch;

use self::writer::ProgramGone;
pub use self::{
    exit::Exit,
    processes::{Reaper, become_subreaper, kill_descendants},
    writer::{WriteError, Writer},
};

/// A program, and the terminal that it runs in.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program and its arguments; not empty.
    pub words: Vec<OsString>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The user and the group that it runs as, who get the terminal, if not our own.
    pub owner: Option<(u32, u32)>,
    /// The lines of the terminal.
    pub rows: NonZeroU16,
    /// The columns of the terminal.
    pub columns: NonZeroU16,
}

/// A program could not be started.
#[derive(Debug, Error)]
#[error("cannot run {program}: {reason}")]
pub struct SpawnError {
    program: String,
    reason: String,
}

/// A running program, and the controlling end of its terminal.
pub struct Pty {
    pid: Pid,
    writer: Writer,
    /// To change the size by.
    master: Mutex<Box<dyn MasterPty + Send>>,
    exit: watch::Receiver<Option<Exit>>,
}

impl fmt::Debug for Pty {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pty")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

/// The program's output. It ends when no process has the terminal open any more.
pub type Output = Box<dyn Read + Send>;

impl Pty {
    /// Starts a program.
    ///
    /// # Errors
    ///
    /// When there is no such program or working directory, or no free
    /// pseudo-terminal.
    pub fn spawn(command: &Command) -> Result<(Self, Output), SpawnError> {
        Self::try_spawn(command).map_err(|error| {
            let program = command.words.first();
            SpawnError {
                program: program.map_or_else(
                    || "an empty command line".to_owned(),
                    |program| program.to_string_lossy().into_owned(),
                ),
                reason: format!("{error:#}"),
            }
        })
    }

    fn try_spawn(command: &Command) -> anyhow::Result<(Self, Output)> {
        let pair = native_pty_system().openpty(in_characters(command.rows, command.columns))?;
        let mut builder = CommandBuilder::from_argv(command.words.clone());
        builder.cwd(&command.directory);
        builder.env_clear();
        for (name, value) in &command.environment {
            builder.env(name, value);
        }
        if let Some((uid, gid)) = command.owner {
            let terminal = pair.master.tty_name();
            let terminal = terminal.context("the terminal has no name")?;
            chown(&terminal, Some(uid), Some(gid))
                .with_context(|| format!("cannot give {} away", terminal.display()))?;
        }
        let output = pair.master.try_clone_reader()?;
        let input = pair.master.take_writer()?;
        let child = pair.slave.spawn_command(builder)?;
        // While this process has it open, the output does not end.
        drop(pair.slave);
        let pid = child.process_id().context("it has no process id")?;
        let pid = Pid::from_raw(pid.cast_signed()).context("its process id is 0")?;
        let (exit, gone) = wait(child)?;
        let writer = Writer::new(input, exit.clone(), gone)?;
        let pty = Self {
            pid,
            writer,
            master: Mutex::new(pair.master),
            exit,
        };
        Ok((pty, output))
    }

    /// Changes the size of the terminal; the program gets a SIGWINCH.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it.
    pub fn resize(&self, rows: NonZeroU16, columns: NonZeroU16) -> anyhow::Result<()> {
        let master = self.master.lock().unwrap_or_else(PoisonError::into_inner);
        master.resize(in_characters(rows, columns))
    }

    /// The program's process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// The program's input.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// How the program ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.exit.borrow().clone()
    }

    /// Waits until the program has ended.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(exit)) => exit.clone(),
            Ok(None) | Err(_) => Exit::Unknown("the thread that waits for it is gone".to_owned()),
        }
    }

    /// Sends a signal to the program, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        if self.exit().is_none()
            && let Err(error) = kill_process(self.pid, signal)
        {
            tracing::debug!(%error, ?signal, "cannot send a signal");
        }
    }
}

fn in_characters(rows: NonZeroU16, columns: NonZeroU16) -> PtySize {
    PtySize {
        rows: rows.get(),
        cols: columns.get(),
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// Waits for the program on a thread of its own. The second receiver is
/// disconnected when it has ended, for threads that wait for that.
fn wait(
    mut child: Box<dyn Child + Send + Sync>,
) -> io::Result<(watch::Receiver<Option<Exit>>, ProgramGone)> {
    let (sender, exit) = watch::channel(None);
    let (running, gone) = mpsc::channel();
    thread::Builder::new().name("wait".into()).spawn(move || {
        let exit = match child.wait() {
            Ok(status) => match status.signal() {
                Some(signal) => Exit::Signal(signal.to_owned()),
                None => Exit::Code(status.exit_code()),
            },
            Err(error) => Exit::Unknown(error.to_string()),
        };
        sender.send_replace(Some(exit));
        drop(running);
    })?;
    Ok((exit, gone))
}
