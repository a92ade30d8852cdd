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
use tracing::info;

use super::{
    composer::{erase, holds, is_left, is_unknown},
    run::Run,
    state::{Phase, Seen, State},
};
use crate::{
    serve::codex::Rollouts,
    serve::pty::WriteError,
    serve::text::{Text, TextError},
};

/// How long a write may take before the program is said to hang.
pub(super) const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// How long it is looked for. Less, and on a busy machine one would be said to
/// be lost that is not, and be sent again.
const CONFIRM: Duration = Duration::from_secs(5);
/// So much longer for a long one.
const CONFIRM_KILOBYTE: Duration = Duration::from_millis(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A text that is still in the input line by then gets a second Enter. Where
/// codex was only slow, that finds an empty line and does nothing.
const ENTER_AGAIN: Duration = Duration::from_secs(2);

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
    /// What the screen shows, when it was not. The text is then taken back.
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
            let screen = self.screen().text();
            self.take_back(text).await;
            screen
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
        let hangs = move |hangs| seen.send_modify(|seen| seen.hung = hangs);
        self.pty.writer().write(bytes, WRITE_PATIENCE, hangs).await
    }

    async fn confirm(&self, text: &Text, before: &Seen) -> Evidence {
        let kilobytes = u32::try_from(text.trimmed().len() >> 10).unwrap_or(0);
        let more = CONFIRM_KILOBYTE * kilobytes;
        let mut deadline = Instant::now() + CONFIRM + more;
        let mut enter_at = Some(Instant::now() + ENTER_AGAIN + more);
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
            if enter_at.is_some_and(|at| Instant::now() >= at) && self.enter_again(text).await {
                enter_at = None;
                deadline = Instant::now() + CONFIRM + more;
            }
        }
    }

    /// Presses Enter once more if the text was left.
    async fn enter_again(&self, text: &Text) -> bool {
        if text.is_command() || !self.was_left(text) {
            return false;
        }
        let _in_order = self.writing.lock().await;
        let again = self.was_left(text) && self.write(b"\r".to_vec()).await.is_ok();
        if again {
            info!(run = %self.id, "a message was left in the input line: Enter is pressed again");
        }
        again
    }

    /// Takes a text that was left out of the input line: it must not become a
    /// part of the next message.
    async fn take_back(&self, text: &Text) {
        let _in_order = self.writing.lock().await;
        if self.was_left(text) && self.write(erase(text)).await.is_ok() {
            info!(run = %self.id, "a message that was not submitted is taken back");
        }
    }

    /// Whether the text stands in the input line and codex does nothing: then
    /// no dialog is open that Enter would answer.
    fn was_left(&self, text: &Text) -> bool {
        let now = self.seen.borrow().clone();
        let rests = now.reports && matches!(now.state(), State::Idle | State::Error);
        rests && holds(&self.screen().text(), text)
    }

    fn hint(&self, text: &Text, before: &Seen, now: &Seen) -> Evidence {
        let worked = before.phase == Phase::Working;
        let screen = self.screen().text();
        if is_unknown(&screen, text) {
            Evidence::None
        // When it comes up it may work on its own affairs.
        } else if now.workings > before.workings && !holds(&screen, text) {
            Evidence::Report
        } else if !now.reports {
            if now.shown > before.shown {
                Evidence::Output
            } else {
                Evidence::None
            }
        } else if (worked || text.is_command()) && !is_left(&screen, text) {
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
