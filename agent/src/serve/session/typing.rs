//! Types a text into codex's input line in two steps: pastes it, looks whether the
//! input line holds it and nothing else, then submits it. Nobody else types meanwhile.

use std::sync::{Arc, atomic::Ordering};

use tokio::{
    sync::{MutexGuard, watch},
    time::{Duration, Instant, timeout_at},
};
use tracing::{info, warn};

use super::{
    refusal::Refusal,
    run::Run,
    state::{Seen, State},
    typed::{Typed, View},
};
use crate::{
    serve::codex::composer::{Input, erase, has_queue},
    serve::codex::interface::{ENTER, SUBMIT},
    serve::pty::WriteError,
    serve::text::Text,
};

/// How long codex may take to show an empty input line.
const INPUT_TIMEOUT: Duration = Duration::from_secs(5);

impl Run {
    /// What the screen shows.
    pub(super) fn view(&self) -> View {
        let screen = self.screen();
        if !screen.is_whole() {
            return View::Unfinished;
        }
        Input::of(screen.terminal()).map_or(View::Other, View::Line)
    }

    /// Whether the input line holds this text alone.
    pub(super) fn holds(&self, text: &Text) -> bool {
        let texts = std::slice::from_ref(text);
        matches!(self.view(), View::Line(input) if input.holds(texts))
    }

    /// Types a text once the input line is empty, and submits it once the input line
    /// holds it. Returns its number, and what was seen before.
    pub(super) async fn submit(
        self: &Arc<Self>,
        text: &Text,
        limit: Duration,
    ) -> Result<(u64, Seen), Refusal> {
        let mut typed = self.until_empty().await?;
        let before = self.seen.borrow().clone();
        self.skip_rollouts();
        typed.add(text.clone());
        let number = typed.count;
        let submitted = self.paste_and_submit(&mut typed, text, limit).await;
        drop(typed);
        if let Err(error) = submitted {
            self.give_up(number).await;
            return Err(error);
        }
        Ok((number, before))
    }

    async fn paste_and_submit(
        &self,
        typed: &mut Typed,
        text: &Text,
        limit: Duration,
    ) -> Result<(), Refusal> {
        let mut changes = self.seen.subscribe();
        self.write(text.as_paste()).await?;
        self.until_shown(typed, text, &mut changes, limit).await?;
        Ok(self.write(SUBMIT.to_vec()).await?)
    }

    /// Waits until the screen shows an empty input line: a message that was typed
    /// before is submitted by then, or taken back.
    async fn until_empty(&self) -> Result<MutexGuard<'_, Typed>, Refusal> {
        let mut changes = self.seen.subscribe();
        let mut deadline = Instant::now() + INPUT_TIMEOUT;
        loop {
            self.check_ready()?;
            changes.mark_unchanged();
            // People may type while this waits.
            let mut typed = self.typed.lock().await;
            if self.take_back(&mut typed).await {
                return Ok(typed);
            }
            drop(typed);
            if self.unconfirmed.load(Ordering::SeqCst) > 0 {
                deadline = Instant::now() + INPUT_TIMEOUT;
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(Refusal::NoInputLine(self.screen().text()));
            }
        }
    }

    /// Waits until the input line holds a text that was typed into it, and nothing else.
    async fn until_shown(
        &self,
        typed: &mut Typed,
        text: &Text,
        changes: &mut watch::Receiver<Seen>,
        limit: Duration,
    ) -> Result<(), Refusal> {
        let deadline = Instant::now() + limit;
        loop {
            self.check_ready()?;
            match self.view() {
                View::Line(input) if input.holds(std::slice::from_ref(text)) => {
                    // What was typed before has not arrived.
                    typed.texts = vec![text.clone()];
                    typed.was_shown = true;
                    return Ok(());
                }
                View::Line(input) if input.holds(&typed.texts) => {
                    typed.was_shown = true;
                    return Err(Refusal::NoInputLine(self.screen().text()));
                }
                View::Other => return Err(Refusal::NoInputLine(self.screen().text())),
                View::Line(_) | View::Unfinished => {}
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(Refusal::NoInputLine(self.screen().text()));
            }
        }
    }

    /// Deletes what is left of messages from the input line: it must not become a part
    /// of the next. Returns whether the input line is empty.
    async fn take_back(&self, typed: &mut Typed) -> bool {
        let View::Line(input) = self.view() else {
            return false;
        };
        if input.is_empty() {
            if typed.was_shown {
                typed.texts.clear();
            }
            return true;
        }
        if input.holds(&typed.texts) {
            typed.was_shown = true;
            if typed.is_over && self.write(erase(&typed.texts)).await.is_ok() {
                if !typed.is_deleted {
                    info!(run = %self.id, "a message that was not submitted is deleted from the input line");
                }
                typed.is_deleted = true;
            }
        }
        false
    }

    /// Takes the text with this number back as soon as the input line holds it.
    pub(super) async fn give_up(self: &Arc<Self>, number: u64) {
        let mut typed = self.typed.lock().await;
        if typed.count != number {
            // The input line was empty after it.
            return;
        }
        typed.is_over = true;
        self.take_back(&mut typed).await;
        drop(typed);
        tokio::spawn(Arc::clone(self).until_taken_back(number));
    }

    async fn until_taken_back(self: Arc<Self>, number: u64) {
        let mut changes = self.seen.subscribe();
        loop {
            let mut typed = self.typed.lock().await;
            self.take_back(&mut typed).await;
            let is_done = typed.count != number || typed.texts.is_empty();
            drop(typed);
            let has_ended = changes.borrow_and_update().exit.is_some();
            if is_done || has_ended || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Presses Enter once more if the text was left in the input line.
    pub(super) async fn enter_again(&self, text: &Text) -> bool {
        if text.is_command() || !self.was_left(text) {
            return false;
        }
        let _typed = self.typed.lock().await;
        let again = self.was_left(text) && self.write(ENTER.to_vec()).await.is_ok();
        if again {
            warn!(run = %self.id, "a message was left in the input line: Enter is pressed again");
        }
        again
    }

    /// Whether the text is in the input line while codex does nothing.
    fn was_left(&self, text: &Text) -> bool {
        let now = self.seen.borrow().clone();
        let is_idle = now.reports && matches!(now.state(), State::Idle | State::Error);
        is_idle && self.holds(text)
    }

    /// Types keys of a person, or of a program that is not codex.
    pub(super) async fn type_keys(&self, keys: Vec<u8>) -> Result<(), WriteError> {
        let _typed = self.typed.lock().await;
        self.write(keys).await
    }

    /// Types a key that acts on codex's turn, unless a list or a dialog would get it.
    pub(super) async fn type_to_turn(&self, key: &[u8]) -> Result<(), Refusal> {
        let mut changes = self.seen.subscribe();
        let deadline = Instant::now() + INPUT_TIMEOUT;
        loop {
            self.check_ready()?;
            changes.mark_unchanged();
            let typed = self.typed.lock().await;
            match self.view() {
                View::Unfinished => {}
                View::Other if self.is_codex && !has_queue(&self.screen().text()) => {
                    return Err(Refusal::NoInputLine(self.screen().text()));
                }
                View::Line(_) | View::Other => return Ok(self.write(key.to_vec()).await?),
            }
            drop(typed);
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(Refusal::NoInputLine(self.screen().text()));
            }
        }
    }
}
