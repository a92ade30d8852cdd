//! Why a message was not submitted.

use std::time::Duration;

use thiserror::Error;

use crate::{serve::pty::WriteError, serve::text::TextError};

/// How long the program may read nothing before it counts as hung.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Why a message was not typed.
#[derive(Debug, Error)]
pub enum Refusal {
    /// Nothing was started yet.
    #[error("nothing runs: call start first")]
    NotStarted,
    /// The program has ended.
    #[error("codex is gone: {0}. Call start for a new run")]
    Ended(String),
    /// It is not ready, most likely because of a dialog.
    #[error("codex is not ready; its screen shows:\n{0}")]
    NotReady(String),
    /// A dialog is open: Enter would answer it, and the text would be lost.
    #[error(
        "codex waits for an answer ({kind}), which a person gives at /terminal; its screen shows:\n{screen}"
    )]
    Blocked {
        /// The kind of dialog.
        kind: String,
        /// The screen with the dialog.
        screen: String,
    },
    /// The screen does not show an empty input line before the text is typed, or shows
    /// anything but the text in it after.
    #[error(
        "nothing was submitted: codex does not show the text in an empty input line, but a list, a dialog or the text of a person, which a person answers at /terminal; its screen shows:\n{0}"
    )]
    NoInputLine(String),
    /// It could not be written.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// The text cannot be a message.
    #[error("{0}")]
    Text(#[from] TextError),
}
