//! What this agent relies on of codex's screen, which changes every week. Each
//! was seen in every version of the recordings.

/// The versions whose screens were recorded.
#[cfg(test)]
pub(super) const TRIED: [&str; 4] = ["0.165.0", "0.167.2", "0.169.0", "0.171.0"];

/// What precedes its input line, in bold and the terminal's own colour, in the
/// first column. The chosen entry of a list has it too, but in reverse or in
/// colour, and there the cursor is hidden.
pub(super) const PROMPT: &str = "›";
/// The same while what is typed goes to a shell, in red.
pub(super) const SHELL_PROMPT: &str = "!";
/// The column in which the text of the input line begins, from 0.
pub(super) const TEXT_COLUMN: u16 = 2;
/// What a long paste is folded to begins so; then come its length and ` chars]`.
pub(super) const PASTED: &str = "[Pasted Content ";
/// What is above the messages that wait for the end of a tool call. They may
/// push the input line off the screen.
pub(super) const QUEUED: &str = "Messages to be submitted";
/// What precedes each of them.
pub(super) const QUEUED_ENTRY: &str = "↳";
/// What is before the name of a command that it does not know.
pub(super) const UNKNOWN: &str = "Unrecognized command";
/// Deletes a line of the input line after the cursor, and before it.
pub(super) const DELETE_AFTER: &[u8] = b"\x0b";
/// See [`DELETE_AFTER`].
pub(super) const DELETE_BEFORE: &[u8] = b"\x15";
