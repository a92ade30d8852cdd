//! The one program of this process, and its runs: what MCP, HTTP and the
//! terminal all talk to.

mod composer;
mod message;
mod run;
mod state;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use thiserror::Error;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::{Instant, timeout},
};
use tracing::info;

use self::message::WRITE_PATIENCE;
pub use self::message::{Evidence, Refusal, Sent};
pub use self::run::{Changes, Run};
pub use self::state::{LogState, State, Status};
use crate::{
    serve::codex::{Program, Rollouts},
    serve::output_log::{Limits, Runs},
    serve::pty::{Command, Pty, Reaper, SpawnError, WriteError},
    serve::screen::{Screen, Size},
    serve::text::Text,
};

/// How long each way of ending codex gets.
const QUIT_PATIENCE: Duration = Duration::from_secs(3);
const TERM_PATIENCE: Duration = Duration::from_secs(2);
const ESCAPE: &[u8] = b"\x1b";

/// What a session is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is run.
    pub program: Program,
    /// Where the logs go.
    pub logs: PathBuf,
    /// How large they become.
    pub limits: Limits,
    /// The terminal's size, for good.
    pub size: Size,
    /// How long the program may take to be ready.
    pub start_patience: Duration,
}

/// Why there is no run.
#[derive(Debug, Error)]
pub enum StartError {
    /// It could not be run.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Its home cannot be made.
    #[error("cannot make codex's home: {0}")]
    Home(io::Error),
    /// Its log cannot be written.
    #[error("cannot begin a log in {}: {error}. Make room there, or choose another --log-dir", .directory.display())]
    Log {
        /// Where.
        directory: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Nobody could look after it.
    #[error("cannot look after codex: {0}")]
    Tend(io::Error),
    /// It ended before it was ready.
    #[error("codex ended before it was ready: {reason}; its screen shows:\n{screen}")]
    Ended {
        /// How.
        reason: String,
        /// What it said last.
        screen: String,
    },
    /// It still runs, but is not ready.
    #[error(
        "codex is not ready after {patience:?}, a dialog is open most likely, which a person answers at /terminal; its screen shows:\n{screen}"
    )]
    NotReady {
        /// How long it was waited for.
        patience: Duration,
        /// What it shows.
        screen: String,
    },
}

/// The one program and its runs.
#[derive(Debug)]
pub struct Session {
    options: Options,
    runs: Runs,
    /// One start at a time: the second finds what the first has started.
    starting: AsyncMutex<()>,
    current: watch::Sender<Option<Arc<Run>>>,
    reaper: Reaper,
    watchers: AtomicUsize,
    touched: Mutex<Instant>,
}

impl Session {
    /// A session without a run.
    ///
    /// # Errors
    ///
    /// When there is no place for logs.
    pub fn new(options: Options) -> io::Result<Arc<Self>> {
        let runs = Runs::new(&options.logs, options.limits)?;
        Ok(Arc::new(Self {
            options,
            runs,
            starting: AsyncMutex::new(()),
            current: watch::Sender::new(None),
            reaper: Reaper::default(),
            watchers: AtomicUsize::new(0),
            touched: Mutex::new(Instant::now()),
        }))
    }

    /// Starts the program unless it runs already, and waits until it is ready.
    /// `resume` takes the last conversation up again.
    ///
    /// # Errors
    ///
    /// When it does not become ready; the error holds what its screen shows.
    pub async fn start(self: &Arc<Self>, resume: bool) -> Result<Status, StartError> {
        let _not_idle = self.watch();
        let _one_at_a_time = self.starting.lock().await;
        let running = self.run().filter(|run| run.state() != State::Exited);
        let run = match running {
            Some(run) => run,
            None => self.spawn(resume)?,
        };
        let patience = self.options.start_patience;
        let settled = run.settled(patience).await;
        let screen = || run.screen().text();
        let status = run.status();
        if status.state == State::Exited {
            return Err(StartError::Ended {
                reason: status.detail,
                screen: screen(),
            });
        }
        if !settled {
            return Err(StartError::NotReady {
                patience,
                screen: screen(),
            });
        }
        Ok(status)
    }

    fn spawn(&self, resume: bool) -> Result<Arc<Run>, StartError> {
        let program = &self.options.program;
        program.prepare().map_err(StartError::Home)?;
        let size = self.options.size;
        let created = self.runs.create();
        let (id, log) = created.map_err(|error| StartError::Log {
            directory: self.options.logs.clone(),
            error,
        })?;
        let command = Command {
            words: program.command_line(resume),
            directory: program.workspace.clone(),
            environment: program.environment(&id.to_string()),
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
        run.tend(output).map_err(|error| {
            run.pty.signal(Signal::KILL);
            StartError::Tend(error)
        })?;
        info!(run = %id, "a run begins");
        self.current.send_replace(Some(Arc::clone(&run)));
        Ok(run)
    }

    /// Types a message and submits it. While the program comes up, it waits.
    ///
    /// # Errors
    ///
    /// When it was not typed.
    pub async fn message(&self, raw: &str) -> Result<Sent, Refusal> {
        self.touch();
        let text = Text::new(raw)?;
        let run = self.run().ok_or(Refusal::NotStarted)?;
        run.settled(self.options.start_patience).await;
        run.message(&text).await
    }

    /// Types keys that have passed a filter.
    ///
    /// # Errors
    ///
    /// When nothing runs, or it does not read.
    pub async fn keys(&self, bytes: Vec<u8>) -> Result<(), Refusal> {
        self.touch();
        let run = self.run().ok_or(Refusal::NotStarted)?;
        // What waits already is enough.
        if run.state() == State::Hung {
            return Err(WriteError::Hangs(WRITE_PATIENCE).into());
        }
        Ok(run.write(bytes).await?)
    }

    /// Interrupts the turn; false when there is none.
    ///
    /// # Errors
    ///
    /// When the program does not read.
    pub async fn interrupt(&self) -> Result<bool, WriteError> {
        self.touch();
        match self.run().filter(|run| run.state() == State::Working) {
            Some(run) => run.write(ESCAPE.to_vec()).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Ends the program, politely at first, and all that it started.
    pub async fn stop(&self) -> Status {
        self.touch();
        let Some(run) = self.run() else {
            return Status::none();
        };
        let over = async || {
            let mut seen = run.seen.subscribe();
            // The sender lives as long as the run.
            let _over = seen.wait_for(|seen| seen.exit.is_some()).await;
        };
        if run.is_codex {
            self.quit(&run).await;
            let _late = timeout(QUIT_PATIENCE, over()).await;
        }
        for signal in [Signal::HUP, Signal::TERM] {
            run.pty.signal(signal);
        }
        if timeout(TERM_PATIENCE, run.pty.ended()).await.is_err() {
            run.pty.signal(Signal::KILL);
        }
        over().await;
        run.status()
    }

    /// Asks codex to quit, as a person would.
    async fn quit(&self, run: &Run) {
        let state = run.state();
        if state == State::Working {
            // What it does not read now, it will not miss.
            let _written = timeout(TERM_PATIENCE, run.write(ESCAPE.to_vec())).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        if matches!(state, State::Idle | State::Working | State::Error)
            && let Ok(quit) = Text::new("/quit")
        {
            let _written = timeout(TERM_PATIENCE, run.write(quit.as_paste())).await;
        } else {
            run.pty.signal(Signal::TERM);
        }
    }

    /// The current run, or the last.
    pub fn run(&self) -> Option<Arc<Run>> {
        self.current.borrow().clone()
    }

    /// Waits for the first run, or the next.
    pub async fn next_run(&self, than: Option<&Run>) -> Arc<Run> {
        let mut current = self.current.subscribe();
        let known = than.map(Run::id);
        loop {
            let found = current.borrow_and_update().clone();
            if let Some(run) = found.filter(|run| Some(run.id()) != known) {
                return run;
            }
            if current.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// All runs that are kept.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Where the run stands.
    pub fn status(&self) -> Status {
        self.run().map_or_else(Status::none, |run| run.status())
    }

    /// What the terminal shows.
    pub fn screen_text(&self) -> String {
        self.run()
            .map_or_else(String::new, |run| run.screen().text())
    }

    /// The terminal's size.
    pub fn size(&self) -> Size {
        self.options.size
    }

    /// What takes care of the children of this process.
    pub fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    /// Counts somebody who watches, as long as the answer lives.
    pub fn watch(self: &Arc<Self>) -> Watching {
        self.watchers.fetch_add(1, Ordering::SeqCst);
        Watching(Arc::clone(self))
    }

    /// Since when nothing works and nobody watches, if that is so.
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

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::SeqCst)
    }

    fn touch(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// Somebody watches.
#[derive(Debug)]
pub struct Watching(Arc<Session>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::SeqCst);
        self.0.touch();
    }
}
