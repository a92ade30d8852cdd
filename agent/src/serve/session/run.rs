//! One run of the program: its output goes to the log and to the screen, and
//! its reports make its state.

use std::{
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

use super::state::{Phase, Seen, State, Status};
use crate::{
    serve::codex::{MARKER, Rollouts},
    serve::osc::Reports,
    serve::output_log::{Extent, OutputLog, RunId},
    serve::pty::{Output, Pty, kill_descendants},
    serve::screen::Screen,
};

/// How long the output of a program that is gone may still take.
const DRAIN: Duration = Duration::from_secs(2);

/// How often a log that takes nothing is tried again.
const MEND: Duration = Duration::from_secs(1);

/// A program that reports nothing is ready when it was quiet for so long.
const SETTLED: Duration = Duration::from_millis(500);
/// Or when it has put out nothing at all for so long.
const SILENT: Duration = Duration::from_secs(2);

/// One run.
#[derive(Debug)]
pub struct Run {
    pub(super) id: RunId,
    pub(super) log: Arc<OutputLog>,
    pub(super) pty: Pty,
    pub(super) is_codex: bool,
    screen: Mutex<Screen>,
    pub(super) seen: watch::Sender<Seen>,
    /// One message at a time, in the order of their calls.
    pub(super) writing: AsyncMutex<()>,
    pub(super) rollouts: Mutex<Option<Rollouts>>,
    /// Messages that were written and are not confirmed yet.
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
            seen: watch::Sender::new(Seen::default()),
            writing: AsyncMutex::new(()),
            rollouts: Mutex::new(rollouts),
            unconfirmed: AtomicUsize::new(0),
        }
    }

    /// Its name.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// Its output.
    pub fn log(&self) -> &Arc<OutputLog> {
        &self.log
    }

    /// Its terminal.
    pub fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        Status::of(self.id.to_string(), &self.seen.borrow(), &self.log.extent())
    }

    pub(super) fn state(&self) -> State {
        self.seen.borrow().state()
    }

    pub(super) fn sign_of_work(&self) -> Option<Instant> {
        self.seen.borrow().sign_of_work()
    }

    /// A signal for everything new about it.
    pub fn changes(&self) -> Changes {
        Changes(self.seen.subscribe())
    }

    /// Waits until it is ready, or gone; false when it is neither in time.
    pub(super) async fn settled(&self, patience: Duration) -> bool {
        let mut seen = self.seen.subscribe();
        let settled = seen.wait_for(|seen| seen.state() != State::Starting);
        timeout(patience, settled).await.is_ok()
    }

    /// Sees to it from the start to the end.
    pub(super) fn tend(self: &Arc<Self>, output: Output) -> io::Result<()> {
        let (drained, drain) = oneshot::channel();
        let run = Arc::clone(self);
        thread::Builder::new()
            .name("pty-read".into())
            .spawn(move || {
                run.pump(output);
                // Nobody waits any more when it took too long.
                let _told = drained.send(());
            })?;
        tokio::spawn(Arc::clone(self).supervise(drain));
        tokio::spawn(mend(Arc::downgrade(self), self.log.changes()));
        if !self.is_codex {
            tokio::spawn(Arc::clone(self).settle());
        }
        Ok(())
    }

    fn pump(&self, mut output: Output) {
        let mut reports = Reports::default();
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
            self.keep(piece);
            self.screen().show(piece);
            let found = reports.feed(piece);
            if found.contains(&crate::serve::osc::Report::Clear) {
                // A program that suspends itself is to go on.
                self.pty.signal(rustix::process::Signal::CONT);
            }
            self.seen.send_modify(|seen| {
                seen.shown += u64::try_from(piece.len()).unwrap_or(0);
                seen.last_output = Some(Instant::now());
                for report in found {
                    seen.report(report);
                }
            });
        }
    }

    /// Logs a piece. Where that fails codex goes on without.
    fn keep(&self, piece: &[u8]) {
        let was_well = self.log.extent().trouble.is_none();
        if let Err(error) = self.log.append(piece)
            && was_well
        {
            warn!(run = %self.id, %error, "the output is not logged");
        }
    }

    async fn supervise(self: Arc<Self>, drain: oneshot::Receiver<()>) {
        let exit = self.pty.ended().await;
        let (pid, marker) = (self.pty.pid(), format!("{MARKER}={}", self.id));
        let killed = spawn_blocking(move || kill_descendants(pid, &marker)).await;
        // The output ends once nobody holds the terminal.
        let _late = timeout(DRAIN, drain).await;
        info!(run = %self.id, %exit, left_behind = killed.unwrap_or(0), "the run is over");
        self.log.finish();
        self.seen.send_modify(|seen| seen.exit = Some(exit));
    }

    /// Takes a program that reports nothing for ready once it is quiet.
    async fn settle(self: Arc<Self>) {
        let (began, mut shown, mut quiet_since) = (Instant::now(), 0, Instant::now());
        loop {
            sleep(SETTLED / 10).await;
            let seen = self.seen.borrow().clone();
            if seen.phase != Phase::Starting || seen.exit.is_some() {
                return;
            }
            if seen.shown != shown {
                (shown, quiet_since) = (seen.shown, Instant::now());
            }
            let settled = shown > 0 && quiet_since.elapsed() >= SETTLED;
            if settled || (shown == 0 && began.elapsed() >= SILENT) {
                self.seen.send_modify(|seen| seen.phase = Phase::Idle);
                return;
            }
        }
    }

    pub(super) fn unconfirmed(&self) -> Unconfirmed<'_> {
        self.unconfirmed.fetch_add(1, Ordering::SeqCst);
        Unconfirmed(&self.unconfirmed)
    }
}

/// Has a log that takes nothing go on once it can, as long as its run is the
/// current one.
async fn mend(run: Weak<Run>, mut extent: watch::Receiver<Extent>) {
    let fails = |extent: &Extent| extent.trouble.is_some();
    while extent.wait_for(fails).await.is_ok() {
        sleep(MEND).await;
        let Some(run) = run.upgrade() else { return };
        let log = Arc::clone(&run.log);
        if spawn_blocking(move || log.retry()).await.unwrap_or(false) {
            let missing = run.log.extent().missing;
            info!(run = %run.id, missing, "the output is logged again");
            // For those who show it.
            run.seen.send_modify(|_| {});
        }
    }
}

/// Counts a message until it is confirmed, or given up.
#[derive(Debug)]
pub(super) struct Unconfirmed<'a>(&'a AtomicUsize);

impl Drop for Unconfirmed<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Wakes who looks at a run.
#[derive(Debug)]
pub struct Changes(watch::Receiver<Seen>);

impl Changes {
    /// Waits for something new; false when there will be nothing.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}
