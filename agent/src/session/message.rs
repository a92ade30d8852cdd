//! A message into the program: written whole, once, in order; then it is
//! looked for in codex's own record.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::{
    run::Run,
    state::{Phase, Seen, State},
};
use crate::{
    codex::Rollouts,
    pty::WriteError,
    text::{Text, TextError},
};

/// How long a write may take before the program is said to hang.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// How long it is looked for. Less, and on a busy machine one would be said to
/// be lost that is not, and be sent again.
const CONFIRM: Duration = Duration::from_secs(5);
/// So much longer for a long one.
const CONFIRM_KILOBYTE: Duration = Duration::from_millis(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Why a message was not typed.
#[derive(Debug, Error)]
pub enum Refusal {
    /// There is no program.
    #[error("nothing runs: call start first")]
    NotStarted,
    /// There is no program any more.
    #[error("codex is gone: {0}. Call start for a new run")]
    Ended(String),
    /// It is not ready, because of a dialog most likely.
    #[error("codex is not ready; its screen shows:\n{0}")]
    NotReady(String),
    /// Enter would answer the dialog, and the text be lost.
    #[error(
        "codex waits for an answer ({kind}), which a person gives at /terminal; its screen shows:\n{screen}"
    )]
    Blocked {
        /// What kind of question.
        kind: String,
        /// What is asked.
        screen: String,
    },
    /// It does not read.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// It is no message.
    #[error("{0}")]
    Text(#[from] TextError),
}

/// What tells that a message was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// Codex has recorded it as said by the user: that is proof.
    Rollout,
    /// Codex reported that it began to work: a hint.
    Report,
    /// It is not in the input line any more: a hint.
    Composer,
    /// The program put something out: a hint.
    Output,
    /// Nothing.
    None,
}

/// What became of a message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Sent {
    /// Whether it was submitted.
    pub submitted: bool,
    /// What tells so.
    pub evidence: Evidence,
    /// What the screen shows, when it was not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub screen: String,
}

impl Run {
    pub(super) async fn message(&self, text: &Text) -> Result<Sent, Refusal> {
        let in_order = self.writing.lock().await;
        self.gate()?;
        let before = self.seen.borrow().clone();
        if self.unconfirmed.load(Ordering::SeqCst) == 0 {
            self.with_rollouts(Rollouts::skip);
        }
        let unconfirmed = self.unconfirmed();
        let as_paste = self.is_codex || self.screen().takes_pastes();
        let bytes = if as_paste {
            text.as_paste()
        } else {
            text.as_keys()
        };
        self.write(bytes).await?;
        drop(in_order);
        let evidence = self.confirm(text, &before).await;
        drop(unconfirmed);
        let submitted = evidence != Evidence::None;
        let screen = if submitted {
            String::new()
        } else {
            self.screen().text()
        };
        Ok(Sent {
            submitted,
            evidence,
            screen,
        })
    }

    /// Whether Enter would submit.
    fn gate(&self) -> Result<(), Refusal> {
        let seen = self.seen.borrow().clone();
        match (seen.state(), seen.phase.clone()) {
            (State::Exited | State::None, _) => Err(Refusal::Ended(seen.detail())),
            (State::Hung, _) => Err(WriteError::Hangs(WRITE_PATIENCE).into()),
            (State::Starting, _) => Err(Refusal::NotReady(self.screen().text())),
            (_, Phase::Blocked(kind)) => Err(Refusal::Blocked {
                kind,
                screen: self.screen().text(),
            }),
            _ => Ok(()),
        }
    }

    /// Writes to the program; one that does not read is marked as hung until it does.
    pub(super) async fn write(&self, bytes: Vec<u8>) -> Result<(), WriteError> {
        let seen = self.seen.clone();
        let late = move || seen.send_modify(|seen| seen.hung = false);
        let written = self.pty.writer().write(bytes, WRITE_PATIENCE, late).await;
        if let Err(WriteError::Hangs(_)) = written {
            self.seen.send_modify(|seen| seen.hung = true);
        }
        written
    }

    async fn confirm(&self, text: &Text, before: &Seen) -> Evidence {
        let kilobytes = u32::try_from(text.trimmed().len() >> 10).unwrap_or(0);
        let deadline = Instant::now() + CONFIRM + CONFIRM_KILOBYTE * kilobytes;
        loop {
            sleep(LOOK_AGAIN).await;
            if self.with_rollouts(|rollouts| rollouts.claim(text.trimmed())) == Some(true) {
                return Evidence::Rollout;
            }
            let now = self.seen.borrow().clone();
            let over = now.exit.is_some() || Instant::now() >= deadline;
            let hint = self.hint(text, before, &now);
            // Programs that record nothing need not be waited for.
            if over || (!self.is_codex && hint != Evidence::None) {
                return hint;
            }
        }
    }

    fn hint(&self, text: &Text, before: &Seen, now: &Seen) -> Evidence {
        let is_command = text.trimmed().starts_with(['/', '!']);
        let worked = before.phase == Phase::Working;
        if now.workings > before.workings {
            Evidence::Report
        } else if !now.reports {
            if now.shown > before.shown {
                Evidence::Output
            } else {
                Evidence::None
            }
        } else if (worked || is_command) && !is_left(&self.screen().text(), text) {
            Evidence::Composer
        } else {
            Evidence::None
        }
    }

    fn with_rollouts<T>(&self, ask: impl FnOnce(&mut Rollouts) -> T) -> Option<T> {
        let mut rollouts = self.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
        rollouts.as_mut().map(ask)
    }
}

/// What codex shows above those that wait for the end of a tool call. They may
/// push its input line off the screen.
const QUEUED: &str = "Messages to be submitted";

/// Whether codex's input line still holds the text, or nobody can say.
fn is_left(screen: &str, text: &Text) -> bool {
    let mut inputs = screen
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix('›'));
    let Some(input) = inputs.next_back().map(str::trim) else {
        return !screen.contains(QUEUED);
    };
    let first: String = text
        .trimmed()
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(20)
        .collect();
    input.starts_with(first.trim()) || input.starts_with("[Pasted")
}

#[cfg(test)]
mod tests {
    use super::{Text, is_left};

    #[test]
    fn a_screen_tells_whether_a_text_was_taken() {
        let text = Text::new("hello there\nyou").unwrap();
        for (screen, left) in [
            ("› hello there", true),
            (
                "› hello there\n\n• done\n\n› Ask Codex to do anything",
                false,
            ),
            ("› [Pasted Content 1024 chars]", true),
            (
                "• Messages to be submitted after next tool call\n  ↳ hello there",
                false,
            ),
            ("Do you trust this folder?", true),
        ] {
            assert_eq!(is_left(screen, &text), left, "{screen}");
        }
    }
}
