//! The one program of this process, and its runs: what MCP, HTTP and the
//! terminal share.

mod error;
mod message;
mod refusal;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod typed;
mod typing;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::{Instant, timeout},
};
use tracing::info;

use self::refusal::WRITE_TIMEOUT;
pub use self::{
    error::StartError,
    message::{Evidence, Sent},
    refusal::Refusal,
    run::{Changes, Run},
    state::{LogState, State, Status},
};
use crate::{
    serve::codex::{
        Program, Rollouts, Version,
        interface::{INTERRUPT, QUIT},
    },
    serve::output_log::{Limits, Runs},
    serve::pty::{Command, Pty, Reaper, WriteError},
    serve::screen::{Screen, Size},
    serve::text::Text,
};

/// How long codex may take to end after `/quit`.
const QUIT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the program may take to end after a signal, or to read its input
/// before that.
const TERM_TIMEOUT: Duration = Duration::from_secs(2);
/// How long codex may take to interrupt a turn before `/quit` is typed.
const INTERRUPT_TIMEOUT: Duration = Duration::from_secs(1);

/// The options of a session.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that it runs.
    pub program: Program,
    /// The directory of the logs.
    pub logs: PathBuf,
    /// How large the logs may become.
    pub limits: Limits,
    /// The size of the terminal, unless the person who types has asked for another.
    pub size: Size,
    /// How long the program may take to be ready.
    pub start_timeout: Duration,
    /// The version of the program, if it is codex and was asked.
    pub version: Option<Version>,
}

/// The one program and its runs.
#[derive(Debug)]
pub struct Session {
    options: Options,
    runs: Runs,
    /// Held during a start: a second one finds what the first has started.
    starting: AsyncMutex<()>,
    current: watch::Sender<Option<Arc<Run>>>,
    reaper: Reaper,
    watchers: AtomicUsize,
    /// The size that the person who types has asked for.
    asked: Mutex<Option<Size>>,
    /// When it was last used.
    touched: Mutex<Instant>,
}

impl Session {
    /// A session without a run.
    ///
    /// # Errors
    ///
    /// When the directory of the logs cannot be used; see [`Runs::new`].
    pub fn new(options: Options) -> io::Result<Arc<Self>> {
        let runs = Runs::new(&options.logs, options.limits)?;
        Ok(Arc::new(Self {
            options,
            runs,
            starting: AsyncMutex::new(()),
            current: watch::Sender::new(None),
            reaper: Reaper::default(),
            watchers: AtomicUsize::new(0),
            asked: Mutex::default(),
            touched: Mutex::new(Instant::now()),
        }))
    }

    /// Starts the program unless it runs already, and waits until it is ready.
    /// With `resume` a new run of codex continues the last conversation.
    ///
    /// # Errors
    ///
    /// When the program cannot be started, ends, or is not ready in time; the
    /// error then holds what its screen shows.
    pub async fn start(self: &Arc<Self>, resume: bool) -> Result<Status, StartError> {
        let _not_idle = self.watch();
        let _one_at_a_time = self.starting.lock().await;
        let running = self.run().filter(|run| run.state() != State::Exited);
        let run = match running {
            Some(run) => run,
            None => self.spawn(resume)?,
        };
        let waited = self.options.start_timeout;
        let is_ready = run.ready(waited).await;
        let screen = || run.screen().text();
        let status = self.with_version(run.status());
        if status.state == State::Exited {
            return Err(StartError::Ended {
                reason: status.detail,
                screen: screen(),
            });
        }
        if !is_ready {
            return Err(StartError::NotReady {
                waited,
                screen: screen(),
            });
        }
        Ok(status)
    }

    fn spawn(&self, resume: bool) -> Result<Arc<Run>, StartError> {
        let program = &self.options.program;
        program.prepare().map_err(StartError::Home)?;
        let size = self.size();
        let created = self.runs.create(size);
        let (id, log) = created.map_err(|error| StartError::Log {
            directory: self.options.logs.clone(),
            error,
        })?;
        // The id alone may be that of another agent's run on this host.
        let mark = self.runs.path(id).display().to_string();
        let command = Command {
            words: program.command_line(resume),
            directory: program.workspace.clone(),
            environment: program.environment(&mark),
            owner: program.user.map(|user| (user.uid, user.gid)),
            rows: size.rows,
            columns: size.columns,
        };
        let home = program.home().filter(|_| program.is_codex());
        let rollouts = home.map(|home| Rollouts::new(&home));
        let mut reaped = self.reaper.program();
        let spawned = Pty::spawn(&command);
        let (pty, output) = spawned.inspect_err(|_| self.runs.discard(id))?;
        *reaped = Some(pty.pid());
        drop(reaped);
        let run = Arc::new(Run::new(id, log, pty, Screen::new(size), rollouts));
        run.supervise(output, mark).map_err(|error| {
            run.pty.signal(Signal::KILL);
            StartError::Thread(error)
        })?;
        info!(run = %id, "a run begins");
        self.current.send_replace(Some(Arc::clone(&run)));
        Ok(run)
    }

    /// Types a message and submits it; first waits for a program that comes up.
    ///
    /// # Errors
    ///
    /// When the text cannot be a message, or the program is not ready for one.
    /// Nothing is submitted then.
    pub async fn message(&self, raw: &str) -> Result<Sent, Refusal> {
        self.touch();
        let text = Text::new(raw)?;
        let run = self.run().ok_or(Refusal::NotStarted)?;
        // One that is not ready refuses the message, with its screen.
        let _is_ready = run.ready(self.options.start_timeout).await;
        run.message(&text).await
    }

    /// Types keys, as they are.
    ///
    /// # Errors
    ///
    /// When nothing runs, or the program does not read its input.
    pub async fn keys(&self, bytes: Vec<u8>) -> Result<(), Refusal> {
        self.touch();
        let run = self.run().ok_or(Refusal::NotStarted)?;
        // Nothing more is queued for a program that does not read.
        if run.state() == State::Hung {
            return Err(WriteError::Hangs(WRITE_TIMEOUT).into());
        }
        Ok(run.type_keys(bytes).await?)
    }

    /// Interrupts codex's turn. Returns false when there is none.
    ///
    /// # Errors
    ///
    /// When the program does not read its input, or shows a list or a dialog, which
    /// would get the key.
    pub async fn interrupt(&self) -> Result<bool, Refusal> {
        self.touch();
        match self.run().filter(|run| run.state() == State::Working) {
            Some(run) => run.type_to_turn(INTERRUPT).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Ends the program and all that it started: by `/quit`, then SIGTERM, then
    /// SIGKILL. Returns when it has ended.
    pub async fn stop(&self) -> Status {
        self.touch();
        let Some(run) = self.run() else {
            return self.status();
        };
        if run.is_codex {
            self.quit(&run).await;
            if timeout(QUIT_TIMEOUT, run.ended()).await.is_err() {
                info!(run = %run.id, "codex does not quit: it gets a signal");
            }
        }
        for signal in [Signal::HUP, Signal::TERM] {
            run.pty.signal(signal);
        }
        if timeout(TERM_TIMEOUT, run.pty.ended()).await.is_err() {
            run.pty.signal(Signal::KILL);
        }
        run.ended().await;
        self.with_version(run.status())
    }

    /// Asks codex to quit, as a person would, or by a signal where a list or a dialog
    /// would get the keys.
    async fn quit(&self, run: &Arc<Run>) {
        if run.state() == State::Working {
            match timeout(TERM_TIMEOUT, run.type_to_turn(INTERRUPT)).await {
                Ok(Ok(())) => run.until_at_rest(INTERRUPT_TIMEOUT).await,
                Ok(Err(error)) => info!(run = %run.id, %error, "the turn is not interrupted"),
                Err(_) => info!(run = %run.id, "codex does not read its input"),
            }
        }
        let asked = matches!(run.state(), State::Idle | State::Working | State::Error);
        let quit = Text::new(QUIT).expect("/quit is a message");
        let is_typed = asked
            && match timeout(TERM_TIMEOUT, run.submit(&quit, TERM_TIMEOUT)).await {
                Ok(Ok(_)) => true,
                Ok(Err(error)) => {
                    info!(run = %run.id, %error, "codex is not asked to quit");
                    false
                }
                Err(_) => false,
            };
        if !is_typed {
            run.pty.signal(Signal::TERM);
        }
    }

    /// The current run, or the last.
    pub fn run(&self) -> Option<Arc<Run>> {
        self.current.borrow().clone()
    }

    /// Waits for a run other than `known`.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the session has the sender of the runs"
    )]
    pub async fn next_run(&self, known: Option<&Run>) -> Arc<Run> {
        let mut current = self.current.subscribe();
        let known = known.map(Run::id);
        loop {
            let found = current.borrow_and_update().clone();
            if let Some(run) = found.filter(|run| Some(run.id()) != known) {
                return run;
            }
            let changed = current.changed().await;
            changed.expect("the session has the sender");
        }
    }

    /// The logs of all runs.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// The status of the current run, or the last.
    pub fn status(&self) -> Status {
        let status = self.run().map_or_else(Status::none, |run| run.status());
        self.with_version(status)
    }

    fn with_version(&self, status: Status) -> Status {
        status.with(self.options.version.as_ref())
    }

    /// The text on the screen; empty before the first run.
    pub fn screen_text(&self) -> String {
        self.run()
            .map_or_else(String::new, |run| run.screen().text())
    }

    /// The size of the terminal.
    pub fn size(&self) -> Size {
        self.asked().unwrap_or(self.options.size)
    }

    fn asked(&self) -> MutexGuard<'_, Option<Size>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the terminal the size that the person who types asks for; with none, that
    /// of the options.
    pub fn resize(&self, asked: Option<Size>) {
        *self.asked() = asked;
        if let Some(run) = self.run() {
            run.resize(self.size());
        }
    }

    /// What takes care of the children of this process.
    pub fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    /// Counts a watcher until the result is dropped.
    pub fn watch(self: &Arc<Self>) -> Watching {
        self.watchers.fetch_add(1, Ordering::SeqCst);
        Watching(Arc::clone(self))
    }

    /// Since when the program has not worked and nobody has watched, if that is so.
    pub fn idle_since(&self) -> Option<Instant> {
        let works = self.status().state == State::Working;
        if works || self.watchers() > 0 {
            self.touch();
            return None;
        }
        let touched = *self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        let worked = self.run().and_then(|run| run.sign_of_work());
        worked.max(Some(touched))
    }

    /// How many watch the terminal or follow the log.
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::SeqCst)
    }

    fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// A watcher of a session.
#[derive(Debug)]
pub struct Watching(Arc<Session>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::SeqCst);
        self.0.touch();
    }
}
