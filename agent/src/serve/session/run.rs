//! One run of the program: its output goes to the log and to the screen, and
//! its reports update its state.

use std::{
    convert::Infallible,
    io::{self, Read},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, oneshot, watch},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};
use tracing::{info, warn};

use super::{
    state::{Phase, Seen, State, Status},
    typed::Typed,
};
use crate::{
    serve::codex::{MARKER, Rollouts, composer::Input},
    serve::osc::{Report, Reports},
    serve::output_log::{Extent, OutputLog, RunId},
    serve::pty::{Output, Pty, kill_descendants},
    serve::recent::Recent,
    serve::screen::{Screen, Size},
    terminal_output::{Filter, Policy},
};

/// How long the output may take to end after the program has ended.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a log that cannot be written is retried.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A program that sends no reports is ready when its output has paused this long.
const QUIET_TIME: Duration = Duration::from_millis(500);
/// Or when it has put out nothing at all for this long.
const SILENT_TIME: Duration = Duration::from_secs(2);

/// One run.
#[derive(Debug)]
pub struct Run {
    pub(super) id: RunId,
    pub(super) log: Arc<OutputLog>,
    pub(super) pty: Pty,
    pub(super) is_codex: bool,
    screen: Mutex<Screen>,
    /// What watchers have not seen yet; changed only while `screen` is locked.
    recent: Mutex<Recent>,
    pub(super) seen: watch::Sender<Seen>,
    /// Held while a message is typed: messages are typed in the order of their calls.
    pub(super) in_order: AsyncMutex<()>,
    /// Held by whoever types: nothing comes between the look at the screen and the keys.
    pub(super) typed: AsyncMutex<Typed>,
    pub(super) rollouts: Mutex<Option<Rollouts>>,
    /// How many messages were written and are not confirmed yet.
    pub(super) unconfirmed: AtomicUsize,
}

impl Run {
    pub(super) fn new(
        id: RunId,
        log: OutputLog,
        pty: Pty,
        screen: Screen,
        rollouts: Option<Rollouts>,
    ) -> Self {
        Self {
            id,
            log: Arc::new(log),
            pty,
            is_codex: rollouts.is_some(),
            screen: Mutex::new(screen),
            recent: Mutex::default(),
            seen: watch::Sender::new(Seen::default()),
            in_order: AsyncMutex::new(()),
            typed: AsyncMutex::default(),
            rollouts: Mutex::new(rollouts),
            unconfirmed: AtomicUsize::new(0),
        }
    }

    /// The name of the run.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The log of its output.
    pub fn log(&self) -> &Arc<OutputLog> {
        &self.log
    }

    /// The screen of its terminal.
    pub fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last of its output. Whoever wants both locks the screen first.
    pub fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the size of its terminal.
    pub(super) fn resize(&self, size: Size) {
        let mut screen = self.screen();
        if screen.size() == size {
            return;
        }
        if let Err(error) = self.pty.resize(size.rows, size.columns) {
            warn!(run = %self.id, %error, %size, "cannot change the size of the terminal");
            return;
        }
        screen.resize(size);
        self.log.resized(size);
        self.recent().restart();
        drop(screen);
        // Wakes those who show it.
        self.seen.send_modify(|_| {});
    }

    /// Its status.
    pub fn status(&self) -> Status {
        Status::of(self.id.to_string(), &self.seen.borrow(), &self.log.extent())
    }

    pub(super) fn state(&self) -> State {
        self.seen.borrow().state()
    }

    pub(super) fn sign_of_work(&self) -> Option<Instant> {
        self.seen.borrow().sign_of_work()
    }

    /// A notification of everything new about it.
    pub fn changes(&self) -> Changes {
        Changes(self.seen.subscribe())
    }

    /// Waits until the program is ready, or has ended. Returns false when it is
    /// neither within `limit`.
    pub(super) async fn ready(&self, limit: Duration) -> bool {
        let mut seen = self.seen.subscribe();
        let ready = seen.wait_for(|seen| seen.state() != State::Starting);
        timeout(limit, ready).await.is_ok()
    }

    /// Waits until the program does not work, or for `limit`.
    pub(super) async fn until_at_rest(&self, limit: Duration) {
        let mut seen = self.seen.subscribe();
        let at_rest = seen.wait_for(|seen| seen.state() != State::Working);
        // Whoever waits goes on in any case.
        let _is_at_rest = timeout(limit, at_rest).await.is_ok();
    }

    /// Waits until the program has ended and its output is complete.
    pub(super) async fn ended(&self) {
        let mut seen = self.seen.subscribe();
        let ended = seen.wait_for(|seen| seen.exit.is_some()).await;
        drop(ended.expect("the run has the sender"));
    }

    /// Starts the thread and the tasks that look after the run until it ends.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub(super) fn supervise(self: &Arc<Self>, output: Output, mark: String) -> io::Result<()> {
        let (draining, drained) = oneshot::channel();
        let run = Arc::clone(self);
        thread::Builder::new()
            .name("pty-read".into())
            .spawn(move || {
                run.pump(output);
                drop(draining);
            })?;
        tokio::spawn(Arc::clone(self).finish(drained, mark));
        tokio::spawn(retry_log(Arc::downgrade(self), self.log.changes()));
        if !self.is_codex {
            tokio::spawn(Arc::clone(self).infer_ready());
        }
        Ok(())
    }

    /// Reads the output to its end.
    fn pump(&self, mut output: Output) {
        let mut reports = Reports::default();
        // A page may do what the program does to its screen, and nothing else.
        let mut for_pages = Filter::new(Policy {
            title: true,
            ..Policy::KEYBOARD
        });
        let mut buffer = vec![0; 1 << 16];
        loop {
            let piece = match output.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => &buffer[..read],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    warn!(%error, "cannot read the terminal");
                    return;
                }
            };
            self.log_output(piece);
            let (updates, shows_input) = {
                let mut screen = self.screen();
                screen.show(piece);
                self.recent().push(&for_pages.push(piece));
                (screen.updates(), self.shows_input(&screen))
            };
            let found = reports.feed(piece);
            if found.contains(&Report::Clear) {
                // A program that suspends itself is continued.
                self.pty.signal(rustix::process::Signal::CONT);
            }
            self.seen.send_modify(|seen| {
                seen.shown += u64::try_from(piece.len()).expect("usize has at most 64 bits");
                seen.last_output = Some(Instant::now());
                for report in found {
                    seen.report(report, updates);
                }
                seen.look(shows_input, updates);
            });
        }
    }

    /// Whether the screen shows codex's input line; none while it is being drawn.
    fn shows_input(&self, screen: &Screen) -> Option<bool> {
        let is_known = self.is_codex && screen.is_whole();
        is_known.then(|| Input::of(screen.terminal()).is_some())
    }

    /// Logs a piece of output. Where that fails codex goes on without a log.
    fn log_output(&self, piece: &[u8]) {
        let was_logged = self.log.extent().error.is_none();
        if let Err(error) = self.log.append(piece)
            && was_logged
        {
            warn!(run = %self.id, %error, "the output is not logged");
        }
    }

    /// Waits for the end of the program, kills its descendants, and completes the
    /// log.
    async fn finish(self: Arc<Self>, drained: oneshot::Receiver<Infallible>, mark: String) {
        let exit = self.pty.ended().await;
        let (pid, marker) = (self.pty.pid(), format!("{MARKER}={mark}"));
        let killing = spawn_blocking(move || kill_descendants(pid, &marker)).await;
        match killing.map_err(io::Error::other).flatten() {
            Ok(killed) => info!(run = %self.id, %exit, killed, "the run is over"),
            Err(error) => {
                warn!(run = %self.id, %exit, %error, "the run is over; cannot kill its descendants");
            }
        }
        // The output ends when no process has the terminal open.
        if timeout(DRAIN_TIMEOUT, drained).await.is_err() {
            warn!(run = %self.id, "a process still has the terminal: its output is not logged");
        }
        self.log.finish();
        self.seen.send_modify(|seen| seen.exit = Some(exit));
    }

    /// Infers that a program which sends no reports is ready when it is quiet.
    async fn infer_ready(self: Arc<Self>) {
        let (began, mut shown, mut quiet_since) = (Instant::now(), 0, Instant::now());
        loop {
            sleep(QUIET_TIME / 10).await;
            let seen = self.seen.borrow().clone();
            if seen.phase != Phase::Starting || seen.exit.is_some() {
                return;
            }
            if seen.shown != shown {
                (shown, quiet_since) = (seen.shown, Instant::now());
            }
            let is_quiet = shown > 0 && quiet_since.elapsed() >= QUIET_TIME;
            if is_quiet || (shown == 0 && began.elapsed() >= SILENT_TIME) {
                self.seen.send_modify(|seen| seen.phase = Phase::Idle);
                return;
            }
        }
    }

    /// Counts a message as unconfirmed until the result is dropped.
    pub(super) fn unconfirmed(&self) -> Unconfirmed<'_> {
        self.unconfirmed.fetch_add(1, Ordering::SeqCst);
        Unconfirmed(&self.unconfirmed)
    }
}

/// Resumes a log that could not be written when there is room again, until the
/// run is dropped.
async fn retry_log(run: Weak<Run>, mut extent: watch::Receiver<Extent>) {
    let fails = |extent: &Extent| extent.error.is_some();
    while extent.wait_for(fails).await.is_ok() {
        sleep(RETRY_INTERVAL).await;
        // A run that was dropped has no log to resume.
        let Some(run) = run.upgrade() else { return };
        let log = Arc::clone(&run.log);
        let retried = spawn_blocking(move || log.retry()).await;
        if retried.expect("a retry does not panic") {
            let missing = run.log.extent().missing;
            info!(run = %run.id, missing, "the output is logged again");
            // Wakes those who show the status.
            run.seen.send_modify(|_| {});
        }
    }
}

/// Counts a message until it is confirmed, or not looked for any more.
#[derive(Debug)]
pub(super) struct Unconfirmed<'a>(&'a AtomicUsize);

impl Drop for Unconfirmed<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Notifications of what is new about a run.
#[derive(Debug)]
pub struct Changes(watch::Receiver<Seen>);

impl Changes {
    /// Waits for something new; returns false when there will be nothing.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}
