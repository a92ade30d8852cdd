//! The state of a run, as it is reported over MCP and HTTP.

use rmcp::schemars::{self, JsonSchema};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    serve::codex::Version, serve::osc::Report, serve::output_log::Extent, serve::pty::Exit,
};

/// What codex is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing was started yet.
    None,
    /// It comes up, or waits at a dialog before it is ready.
    Starting,
    /// It waits for a message.
    Idle,
    /// It works.
    Working,
    /// It waits for a person: a list or a dialog is open.
    Blocked,
    /// Its last turn failed.
    Error,
    /// It does not read its input.
    Hung,
    /// It has ended.
    Exited,
}

/// Whether codex's output is logged. Codex goes on working in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogState {
    /// It is logged.
    Ok,
    /// It is lost: the disk under the log is full.
    Full,
    /// It is lost: the log cannot be written.
    Failing,
}

impl LogState {
    fn of(extent: &Extent) -> Self {
        match extent.error {
            None => Self::Ok,
            Some(error) if error.is_full() => Self::Full,
            Some(_) => Self::Failing,
        }
    }
}

/// The status of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Status {
    /// What codex is doing.
    pub state: State,
    /// Whether its output is logged.
    pub log: LogState,
    /// More about the state, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The name of the run; empty before the first.
    pub run: String,
    /// The exit code, once it has exited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub exit_code: Option<u32>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub signal: Option<String>,
    /// One after the last offset of the log.
    #[schemars(with = "i64")]
    pub bytes: u64,
    /// The first offset that the log retains.
    #[schemars(with = "i64")]
    pub first: u64,
    /// How many bytes of the output are missing from the log. Where the log
    /// resumes, a line of its own says how many are missing there.
    #[schemars(with = "i64")]
    pub missing: u64,
    /// Why nothing can be logged now, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub log_error: Option<String>,
    /// The version of codex when the server began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub codex_version: Option<String>,
    /// What people should know of it: that nobody has tried it, or why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub codex_warning: Option<String>,
}

impl Status {
    /// The same, with the version of codex.
    pub(super) fn with(self, version: Option<&Version>) -> Self {
        Self {
            codex_version: version.and_then(Version::name).map(str::to_owned),
            codex_warning: version.and_then(Version::warning),
            ..self
        }
    }

    /// The status before the first run.
    pub(super) fn none() -> Self {
        Self {
            state: State::None,
            ..Self::of(String::new(), &Seen::default(), &Extent::default())
        }
    }

    /// The status of a run.
    pub(super) fn of(run: String, seen: &Seen, extent: &Extent) -> Self {
        let (exit_code, signal) = match &seen.exit {
            Some(Exit::Code(code)) => (Some(*code), None),
            Some(Exit::Signal(signal)) => (None, Some(signal.clone())),
            Some(Exit::Unknown(_)) | None => (None, None),
        };
        Self {
            state: seen.state(),
            log: LogState::of(extent),
            detail: seen.detail(),
            run,
            exit_code,
            signal,
            bytes: extent.end,
            first: extent.first,
            missing: extent.missing,
            log_error: log_error(extent),
            codex_version: None,
            codex_warning: None,
        }
    }
}

fn log_error(extent: &Extent) -> Option<String> {
    let error = extent.error?;
    let what = if error.is_full() {
        "the disk under the log is full"
    } else {
        "the log cannot be written"
    };
    let missing = extent.missing;
    Some(format!(
        "{what}: codex goes on, but {missing} bytes of its output are lost ({error})"
    ))
}

/// What was observed of a run so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// What it reported last, or was inferred to do.
    pub(super) phase: Phase,
    /// Whether it reports at all.
    pub(super) reports: bool,
    /// How often it has reported that it begins to work.
    pub(super) workings: u64,
    /// How many bytes it has put out.
    pub(super) shown: u64,
    /// When it last put out any.
    pub(super) last_output: Option<Instant>,
    /// Whether it does not read its input.
    pub(super) hung: bool,
    /// How it ended, once its output is complete.
    pub(super) exit: Option<Exit>,
    /// What is where codex's input line was.
    cover: Cover,
    /// How many updates of the screen there were when it became ready.
    updates_before: u64,
}

/// What the program itself reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Starting,
    Idle,
    Working,
    Blocked(String),
    Error,
}

/// What is where codex's input line was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Cover {
    /// The input line, as far as is known.
    #[default]
    None,
    /// A list or a dialog.
    Question,
    /// Whatever a program leaves that ends, or suspends itself.
    End,
}

impl Seen {
    /// Updates the phase by a report.
    ///
    /// `updates` is how many updates of the screen there were.
    pub(super) fn report(&mut self, report: Report, updates: u64) {
        self.reports = true;
        self.cover = match (&report, self.cover) {
            (Report::Clear, _) => Cover::End,
            (_, Cover::End) => Cover::None,
            (_, cover) => cover,
        };
        if self.phase == Phase::Starting {
            self.updates_before = updates;
        }
        self.phase = match report {
            Report::Idle | Report::Done => Phase::Idle,
            Report::Error => Phase::Error,
            Report::Blocked(kind) => Phase::Blocked(kind),
            Report::Working => {
                self.workings += 1;
                // Before it is ready this is no turn: it may be loading something.
                if self.phase == Phase::Starting {
                    return;
                }
                Phase::Working
            }
            // It suspends itself, or ends: both are observed in other ways.
            Report::Clear => return,
        };
    }

    /// Notes whether the screen shows codex's input line, if that is known. Codex says
    /// that it is ready before it draws the first.
    pub(super) fn look(&mut self, shows_input: Option<bool>, updates: u64) {
        let is_drawn = updates == 0 || updates > self.updates_before;
        self.cover = match shows_input.filter(|_| is_drawn && self.cover != Cover::End) {
            Some(true) => Cover::None,
            Some(false) => Cover::Question,
            None => self.cover,
        };
    }

    /// Whether it waits for a person, and does not say so.
    fn is_covered(&self) -> bool {
        self.reports && self.cover == Cover::Question
    }

    /// When a program that sends no reports last seemed to work: when it last put
    /// something out.
    pub(super) fn sign_of_work(&self) -> Option<Instant> {
        self.last_output.filter(|_| !self.reports)
    }

    /// The state that follows from all of it.
    pub(super) fn state(&self) -> State {
        match &self.phase {
            _ if self.exit.is_some() => State::Exited,
            _ if self.hung => State::Hung,
            Phase::Starting => State::Starting,
            Phase::Idle | Phase::Error if self.is_covered() => State::Blocked,
            Phase::Idle => State::Idle,
            Phase::Working => State::Working,
            Phase::Blocked(_) => State::Blocked,
            Phase::Error => State::Error,
        }
    }

    /// More about the state, for people; may be empty.
    pub(super) fn detail(&self) -> String {
        match (&self.exit, &self.phase) {
            (Some(exit), _) => exit.to_string(),
            (None, _) if self.hung => "it does not read its input".to_owned(),
            (None, Phase::Blocked(kind)) => format!("it asks a question: {kind}"),
            (None, Phase::Idle | Phase::Error) if self.is_covered() => {
                "a list or a dialog is open".to_owned()
            }
            _ => String::new(),
        }
    }
}
