//! What was typed into codex's input line, and what the screen shows of it.

use crate::{serve::codex::composer::Input, serve::text::Text};

/// What codex may have in its input line of what was typed for messages.
#[derive(Debug, Default)]
pub(super) struct Typed {
    /// What was typed since the input line was last seen empty.
    pub(super) texts: Vec<Text>,
    /// Whether the input line was seen to hold it. If not, codex may not have read it.
    pub(super) was_shown: bool,
    /// Whether its messages are reported as they are: what is still there is taken back.
    pub(super) is_over: bool,
    /// Whether it was already deleted, if codex has read that.
    pub(super) is_deleted: bool,
    /// How many texts were typed.
    pub(super) count: u64,
}

impl Typed {
    pub(super) fn add(&mut self, text: Text) {
        self.texts.push(text);
        self.was_shown = false;
        self.is_over = false;
        self.is_deleted = false;
        self.count += 1;
    }
}

/// What the screen shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    /// A picture that is not complete.
    Unfinished,
    /// Codex's input line.
    Line(Input),
    /// Something else: a list or a dialog, most likely.
    Other,
}
