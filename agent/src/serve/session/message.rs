//! Sends a message: it is written whole, once and in order, and then looked for
//! in codex's own record.

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
    run::Run,
    state::{Phase, Seen, State},
};
use crate::{
    serve::codex::Rollouts,
    serve::codex::composer::{Input, erase, is_queued, is_unknown},
    serve::pty::WriteError,
    serve::text::{Text, TextError},
};

/// How long the program may read nothing before it counts as hung.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a message is looked for. A shorter time would report messages as
/// lost on a busy machine that are not, and callers would send them again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer for each kilobyte of the message.
const CONFIRM_TIMEOUT_PER_KILOBYTE: Duration = Duration::from_millis(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// When a text that is still in the input line gets a second Enter. Where codex
/// was only slow, the input line is empty by then and Enter does nothing.
const SECOND_ENTER_DELAY: Duration = Duration::from_secs(2);

/// How long codex may take to show an empty input line.
const INPUT_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// The screen does not show an empty input line: Enter might choose something.
    #[error(
        "nothing was typed: codex shows no empty input line, but a list, a dialog or the text of a person, which a person answers at /terminal; its screen shows:\n{0}"
    )]
    NoInputLine(String),
    /// It could not be written.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// The text cannot be a message.
    #[error("{0}")]
    Text(#[from] TextError),
}

/// What shows that a message was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// Codex has recorded it as said by the user: proof.
    Rollout,
    /// Codex reported that it began to work: a hint.
    Report,
    /// It is no longer in the input line: a hint.
    Composer,
    /// The program put something out: a hint.
    Output,
    /// Nothing.
    None,
}

/// The outcome of sending a message.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Sent {
    /// Whether it was submitted.
    pub submitted: bool,
    /// What shows that it was.
    pub evidence: Evidence,
    /// What the screen shows, when it was not submitted. The text is then removed
    /// from the input line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub screen: String,
}

impl Run {
    /// Types a message and submits it, and waits for evidence that it was.
    pub(super) async fn message(&self, text: &Text) -> Result<Sent, Refusal> {
        let in_order = self.writing.lock().await;
        self.check_ready()?;
        if self.is_codex {
            self.until_empty().await?;
        }
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
            self.erase(text).await;
            screen
        };
        Ok(Sent {
            submitted,
            evidence,
            screen,
        })
    }

    /// Waits until the screen shows an empty input line: a message that was typed
    /// before is submitted by then. Where a list or a dialog is open Enter would
    /// choose something.
    async fn until_empty(&self) -> Result<(), Refusal> {
        let deadline = Instant::now() + INPUT_TIMEOUT;
        loop {
            self.check_ready()?;
            let input = self.input();
            if input.is_some_and(|input| input.is_empty()) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Refusal::NoInputLine(self.screen().text()));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Codex's input line, if its screen shows one.
    fn input(&self) -> Option<Input> {
        Input::of(self.screen().terminal())
    }

    fn holds(&self, text: &Text) -> bool {
        self.input().is_some_and(|input| input.holds(text))
    }

    /// Checks that Enter would submit a message.
    fn check_ready(&self) -> Result<(), Refusal> {
        let seen = self.seen.borrow().clone();
        match (seen.state(), seen.phase.clone()) {
            (State::Exited | State::None, _) => Err(Refusal::Ended(seen.detail())),
            (State::Hung, _) => Err(WriteError::Hangs(WRITE_TIMEOUT).into()),
            (State::Starting, _) => Err(Refusal::NotReady(self.screen().text())),
            (_, Phase::Blocked(kind)) => Err(Refusal::Blocked {
                kind,
                screen: self.screen().text(),
            }),
            _ => Ok(()),
        }
    }

    /// Writes to the program, which counts as hung from when it does not read until
    /// it does.
    pub(super) async fn write(&self, bytes: Vec<u8>) -> Result<(), WriteError> {
        let seen = self.seen.clone();
        let hangs = move |hangs| seen.send_modify(|seen| seen.hung = hangs);
        self.pty.writer().write(bytes, WRITE_TIMEOUT, hangs).await
    }

    /// Waits for evidence that a message was submitted.
    async fn confirm(&self, text: &Text, before: &Seen) -> Evidence {
        let kilobytes = u32::try_from(text.trimmed().len() >> 10);
        let kilobytes = kilobytes.expect("a message has at most 4 MiB");
        let more = CONFIRM_TIMEOUT_PER_KILOBYTE * kilobytes;
        let mut deadline = Instant::now() + CONFIRM_TIMEOUT + more;
        let mut enter_at = Some(Instant::now() + SECOND_ENTER_DELAY + more);
        loop {
            sleep(POLL_INTERVAL).await;
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
                deadline = Instant::now() + CONFIRM_TIMEOUT + more;
            }
        }
    }

    /// Presses Enter once more if the text was left in the input line.
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

    /// Deletes a text that was left in the input line: it must not become a part
    /// of the next message.
    async fn erase(&self, text: &Text) {
        let _in_order = self.writing.lock().await;
        if self.was_left(text) && self.write(erase(text)).await.is_ok() {
            info!(run = %self.id, "a message that was not submitted is deleted from the input line");
        }
    }

    /// Whether the text is in the input line while codex does nothing: then no
    /// dialog is open that Enter would answer.
    fn was_left(&self, text: &Text) -> bool {
        let now = self.seen.borrow().clone();
        let is_idle = now.reports && matches!(now.state(), State::Idle | State::Error);
        is_idle && self.holds(text)
    }

    /// Evidence other than codex's record.
    fn hint(&self, text: &Text, before: &Seen, now: &Seen) -> Evidence {
        let worked = before.phase == Phase::Working;
        let screen = self.screen().text();
        if is_unknown(&screen, text) {
            Evidence::None
        // A report alone is none: codex may work of its own accord when it comes up.
        } else if now.workings > before.workings && !self.holds(text) {
            Evidence::Report
        } else if !now.reports {
            if now.shown > before.shown {
                Evidence::Output
            } else {
                Evidence::None
            }
        } else if (worked || text.is_command()) && self.is_taken(&screen, text) {
            Evidence::Composer
        } else {
            Evidence::None
        }
    }

    /// Whether the text is not in the input line any more.
    fn is_taken(&self, screen: &str, text: &Text) -> bool {
        let is_empty = self.input().is_some_and(|input| input.is_empty());
        is_empty || is_queued(screen, text)
    }

    fn with_rollouts<T>(&self, use_it: impl FnOnce(&mut Rollouts) -> T) -> Option<T> {
        let mut rollouts = self.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
        rollouts.as_mut().map(use_it)
    }
}
