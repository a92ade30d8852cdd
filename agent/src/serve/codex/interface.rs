//! All that this agent relies on of codex, which changes every week. Each was seen in
//! every version of [`TRIED`].

use serde::Deserialize;

/// The versions that were tried, oldest first: their screens are recorded, and real ones
/// ran the tests of `interop`.
pub const TRIED: [&str; 4] = ["0.165.0", "0.167.2", "0.169.0", "0.171.0"];

// The command line.

/// Makes it print [`VERSION_BEFORE`] and its version, and end.
pub(super) const SHOW_VERSION: &str = "--version";
/// What precedes the version.
pub(super) const VERSION_BEFORE: &str = "codex-cli ";
/// Precedes a setting: `KEY=VALUE`, the value in TOML.
pub(super) const SET: &str = "-c";
/// Keeps its output a readable log.
pub(super) const NO_ALTERNATE_SCREEN: &str = "--no-alt-screen";
/// Takes the last conversation up again.
pub(super) const RESUME: [&str; 2] = ["resume", "--last"];

// Settings.

/// Those of every run: no background daemon, which would outlive the run, and no update
/// dialog, which nobody would answer.
pub(super) const SETTINGS: [&str; 2] = [
    "features.daemon_auto_start=false",
    "check_for_update_on_startup=false",
];
/// The table with [`ANIMATIONS`] and [`KEYS`].
pub(super) const SCREEN_SETTINGS: &str = "tui";
/// Whether the screen changes while nothing happens.
pub(super) const ANIMATIONS: &str = "animations";
/// The keys of each part of its screen; those of the input line are in [`INPUT_KEYS`].
pub(super) const KEYS: &str = "keymap";
/// See [`KEYS`].
pub(super) const INPUT_KEYS: &str = "composer";
/// The keys that submit what is in the input line: a name, or a list of names.
pub(super) const SUBMIT_KEYS: &str = "submit";
/// The one that it has without a setting.
pub(super) const SUBMIT_DEFAULT: &str = "enter";
/// The table of directories that were worked in.
pub(super) const PROJECTS: &str = "projects";
/// What it has of each: with this value codex does not ask whether to trust it.
pub(super) const TRUST: (&str, &str) = ("trust_level", "trusted");

// The environment, and its home.

/// The variable that names its home.
pub(super) const HOME: &str = "CODEX_HOME";
/// Its home below the user's without [`HOME`].
pub(super) const DEFAULT_HOME: &str = ".codex";
/// The user's settings, in its home.
pub(super) const CONFIG: &str = "config.toml";
/// What makes it use all of the terminal that this agent stands for.
pub(super) const TERMINAL: [(&str, &str); 3] = [
    ("TERM", "xterm-256color"),
    ("COLORTERM", "truecolor"),
    ("LANG", "C.UTF-8"),
];
/// Its records of conversations, in its home: `YYYY/MM/DD/rollout-….jsonl`, made at the
/// first message, and appended to when the conversation is resumed.
pub(super) const SESSIONS: &str = "sessions";
/// How a record's name ends.
pub(super) const RECORD_EXTENSION: &str = "jsonl";

/// A line of a record. Lines of other kinds have other fields.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) payload: Payload,
}

/// What somebody said.
#[derive(Deserialize)]
pub(super) struct Payload {
    pub(super) role: Option<String>,
    #[serde(default)]
    pub(super) content: Vec<Content>,
}

/// A part of it.
#[derive(Deserialize)]
pub(super) struct Content {
    #[serde(default)]
    pub(super) text: String,
}

/// The role of what a person or a program has said to it.
pub(super) const USER: &str = "user";

// What it puts out besides text.

/// What its reports begin with after `ESC ]`: OSC 7501, the Program Status Protocol.
/// `state=WORD` and other fields follow, with colons between them.
pub(in crate::serve) const REPORT: &[u8] = b"7501;";
/// The field with the word of the state.
pub(in crate::serve) const REPORT_STATE: &str = "state";
/// The field with the kind of question, in the state `blocked`.
pub(in crate::serve) const REPORT_KIND: &str = "kind";
/// It waits for input. It says so before it draws its first input line, and while a
/// list or a dialog of its own is open.
pub(in crate::serve) const IDLE: &str = "idle";
/// It works; also while it comes up.
pub(in crate::serve) const WORKING: &str = "working";
/// It finished a turn.
pub(in crate::serve) const DONE: &str = "done";
/// A turn failed.
pub(in crate::serve) const ERROR: &str = "error";
/// It asks whether it may do something.
pub(in crate::serve) const BLOCKED: &str = "blocked";
/// It ends, or suspends itself.
pub(in crate::serve) const CLEAR: &str = "clear";

// Its screen. Each change of it is one synchronized update (`CSI ? 2026 h … l`).

/// What precedes its input line, in bold and the terminal's own colour, in the
/// first column. The chosen entry of a list has it too, but in reverse or in
/// colour, and there the cursor is hidden.
pub(super) const PROMPT: &str = "›";
/// The same while what is typed goes to a shell, in red.
pub(super) const SHELL_PROMPT: &str = "!";
/// The column in which the text of the input line begins, from 0.
pub(super) const TEXT_COLUMN: u16 = 2;
/// A paste of more characters is folded.
pub(super) const FOLDED_CHARS: usize = 1000;
/// What it is folded to begins so; then come its length and ` chars]`.
pub(super) const PASTED: &str = "[Pasted Content ";
/// What is above the messages that wait for the end of a tool call. They may
/// push the input line off the screen.
pub(super) const QUEUED: &str = "Messages to be submitted";
/// What precedes each of them.
pub(super) const QUEUED_ENTRY: &str = "↳";
/// What is before the name of a command that it does not know.
pub(super) const UNKNOWN: &str = "Unrecognized command";

// What is typed.

/// What begin commands: of its own, and of the shell.
pub(in crate::serve) const COMMANDS: [char; 2] = ['/', '!'];
/// The command that ends it.
pub(in crate::serve) const QUIT: &str = "/quit";
/// Interrupts a turn; closes a list or a dialog.
pub(in crate::serve) const INTERRUPT: &[u8] = b"\x1b";
/// Submits what is in the input line, and chooses an entry of a list.
pub(in crate::serve) const ENTER: &[u8] = b"\r";
/// A key that submits what is in the input line once it is named in [`SUBMIT_KEYS`],
/// and does nothing in lists and dialogs. No keyboard has it by accident.
pub(super) const SUBMIT_KEY: &str = "ctrl-shift-f12";
/// The bytes of [`SUBMIT_KEY`].
pub(in crate::serve) const SUBMIT: &[u8] = b"\x1b[24;6~";
/// Deletes a line of the input line after the cursor, and before it.
pub(super) const DELETE_AFTER: &[u8] = b"\x0b";
/// See [`DELETE_AFTER`].
pub(super) const DELETE_BEFORE: &[u8] = b"\x15";
/// Ends the mode in which what is typed goes to a shell, once nothing is typed.
pub(super) const LEAVE_SHELL: &[u8] = b"\x7f";
