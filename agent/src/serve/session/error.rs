//! Why a run could not be started.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

use crate::serve::pty::SpawnError;

/// Why there is no run, or none that is ready.
#[derive(Debug, Error)]
pub enum StartError {
    /// The program could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Codex's home could not be created.
    #[error("cannot make codex's home: {0}")]
    Home(io::Error),
    /// The log could not be created.
    #[error("cannot begin a log in {}: {error}. Make room there, or choose another --log-dir", .directory.display())]
    Log {
        /// The directory of all logs.
        directory: PathBuf,
        /// The error of the file system.
        error: io::Error,
    },
    /// The thread that reads the program's output could not be started.
    #[error("cannot read codex's output: {0}")]
    Thread(io::Error),
    /// The program ended before it was ready.
    #[error("codex ended before it was ready: {reason}; its screen shows:\n{screen}")]
    Ended {
        /// How it ended.
        reason: String,
        /// What its screen showed last.
        screen: String,
    },
    /// The program runs, but is not ready.
    #[error(
        "codex is not ready after {waited:?}, a dialog is open most likely, which a person answers at /terminal; its screen shows:\n{screen}"
    )]
    NotReady {
        /// How long it was waited for.
        waited: Duration,
        /// What its screen shows.
        screen: String,
    },
}
