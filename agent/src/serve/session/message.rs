//! Sends a message: it is written whole, once and in order, and then looked for
//! in codex's own record.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{
    refusal::{Refusal, WRITE_TIMEOUT},
    run::Run,
    state::{Phase, Seen, State},
    typed::View,
};
use crate::{
    serve::codex::Rollouts,
    serve::codex::composer::{is_queued, is_unknown},
    serve::pty::WriteError,
    serve::text::Text,
};

/// How long a message is looked for. A shorter time would report messages as
/// lost on a busy machine that are not, and callers would send them again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer for each kilobyte of the message.
const CONFIRM_TIMEOUT_PER_KILOBYTE: Duration = Duration::from_millis(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// When a text that is still in the input line gets a second Enter. Where codex
/// was only slow, the input line is empty by then and Enter does nothing.
const SECOND_ENTER_DELAY: Duration = Duration::from_secs(2);

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

/// What the screen has shown of a text since it was submitted.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    /// That it is not in the input line any more.
    is_taken: bool,
    /// That codex does not know the command.
    is_unknown: bool,
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
    pub(super) async fn message(self: &Arc<Self>, text: &Text) -> Result<Sent, Refusal> {
        let in_order = self.in_order.lock().await;
        self.check_ready()?;
        let more = more_time(text);
        let (number, before) = if self.is_codex {
            self.submit(text, CONFIRM_TIMEOUT + more).await?
        } else {
            (0, self.type_whole(text).await?)
        };
        let unconfirmed = self.unconfirmed();
        drop(in_order);
        let evidence = self.confirm(text, &before, more).await;
        drop(unconfirmed);
        let submitted = evidence != Evidence::None;
        let screen = if submitted {
            String::new()
        } else {
            self.screen().text()
        };
        if self.is_codex && evidence != Evidence::Rollout {
            self.give_up(number).await;
        }
        Ok(Sent {
            submitted,
            evidence,
            screen,
        })
    }

    /// Types a message into a program that is not codex. Returns what was seen before.
    async fn type_whole(&self, text: &Text) -> Result<Seen, WriteError> {
        let before = self.seen.borrow().clone();
        let bytes = if self.screen().takes_pastes() {
            text.as_paste_and_enter()
        } else {
            text.as_keys()
        };
        self.type_keys(bytes).await?;
        Ok(before)
    }

    /// Checks that a message would be submitted.
    pub(super) fn check_ready(&self) -> Result<(), Refusal> {
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
    async fn confirm(&self, text: &Text, before: &Seen, more: Duration) -> Evidence {
        let mut deadline = Instant::now() + CONFIRM_TIMEOUT + more;
        let mut enter_at = Some(Instant::now() + SECOND_ENTER_DELAY + more);
        let mut shown = Shown::default();
        loop {
            sleep(POLL_INTERVAL).await;
            if self.with_rollouts(|rollouts| rollouts.claim(text.trimmed())) == Some(true) {
                return Evidence::Rollout;
            }
            let now = self.seen.borrow().clone();
            let late = Instant::now().checked_duration_since(deadline);
            let over = now.exit.is_some()
                || late.is_some_and(|late| late > CONFIRM_TIMEOUT || self.screen().is_whole());
            self.look(text, &mut shown);
            let hint = self.hint(text, before, &now, shown);
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

    /// Evidence other than codex's record.
    fn hint(&self, text: &Text, before: &Seen, now: &Seen, shown: Shown) -> Evidence {
        let worked = before.phase == Phase::Working;
        if shown.is_unknown {
            Evidence::None
        // A report alone is none: codex may work of its own accord when it comes up.
        } else if now.workings > before.workings && (!self.is_codex || shown.is_taken) {
            Evidence::Report
        } else if !now.reports {
            if now.shown > before.shown {
                Evidence::Output
            } else {
                Evidence::None
            }
        } else if (worked || text.is_command()) && shown.is_taken {
            Evidence::Composer
        } else {
            Evidence::None
        }
    }

    /// Looks at the screen after a text was submitted, which the input line held before.
    /// A list of a person's may cover what it shows later.
    fn look(&self, text: &Text, shown: &mut Shown) {
        let screen = self.screen().text();
        let is_empty = matches!(self.view(), View::Line(input) if input.is_empty());
        shown.is_taken |= is_empty || is_queued(&screen, text);
        shown.is_unknown |= is_unknown(&screen, text);
    }

    /// Forgets what was recorded before a message, unless another is looked for.
    pub(super) fn skip_rollouts(&self) {
        if self.unconfirmed.load(Ordering::SeqCst) == 0 {
            self.with_rollouts(Rollouts::skip);
        }
    }

    fn with_rollouts<T>(&self, use_it: impl FnOnce(&mut Rollouts) -> T) -> Option<T> {
        let mut rollouts = self.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
        rollouts.as_mut().map(use_it)
    }
}

/// How much longer than a short one a message may take.
fn more_time(text: &Text) -> Duration {
    let kilobytes = u32::try_from(text.trimmed().len() >> 10);
    let kilobytes = kilobytes.expect("a message has at most 4 MiB");
    CONFIRM_TIMEOUT_PER_KILOBYTE * kilobytes
}
