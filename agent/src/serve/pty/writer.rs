//! The program's input, written on a thread of its own: a program that does
//! not read blocks the write after some kilobytes.

use std::{
    fmt,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::Exit;

/// Why bytes did not reach the program.
#[derive(Debug, Error)]
pub enum WriteError {
    /// It does not read. What is under way may still arrive.
    #[error("the program has not read its input for {0:?}: it hangs, or is stopped")]
    Hangs(Duration),
    /// It is gone.
    #[error("the program has ended")]
    Ended,
    /// The terminal says so.
    #[error("cannot write to the terminal: {0}")]
    Io(#[from] io::Error),
}

struct Job {
    bytes: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

/// How much is written at once: what the kernel takes in one go.
const STEP: usize = 4096;

/// Writes whole pieces, one after the other.
pub struct Writer {
    jobs: Sender<Job>,
    /// How many steps the program has taken.
    taken: Arc<AtomicU64>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(
        input: Box<dyn Write + Send>,
        exit: watch::Receiver<Option<Exit>>,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let builder = thread::Builder::new().name("pty-write".into());
        let taken = Arc::<AtomicU64>::default();
        let count = Arc::clone(&taken);
        builder.spawn(move || work(input, &queue, &count, exit))?;
        Ok(Self { jobs, taken })
    }

    /// Writes a piece, whole, after all that came before it.
    ///
    /// # Errors
    ///
    /// When the program is gone, or reads nothing for as long as the patience
    /// lasts. Then `hangs` is told true, and false if the piece arrives later.
    pub async fn write(
        &self,
        bytes: Vec<u8>,
        patience: Duration,
        hangs: impl Fn(bool) + Send + 'static,
    ) -> Result<(), WriteError> {
        let (done, mut written) = oneshot::channel();
        let queued = self.jobs.send(Job { bytes, done });
        queued.map_err(|_| WriteError::Ended)?;
        let mut before = self.taken.load(Ordering::SeqCst);
        loop {
            match timeout(patience, &mut written).await {
                Ok(Ok(result)) => return Ok(result?),
                Ok(Err(_)) => return Err(WriteError::Ended),
                Err(_) => {}
            }
            let taken = self.taken.load(Ordering::SeqCst);
            if before == taken {
                break;
            }
            before = taken;
        }
        hangs(true);
        tokio::spawn(async move {
            if let Ok(Ok(())) = written.await {
                hangs(false);
            }
        });
        Err(WriteError::Hangs(patience))
    }
}

fn work(
    mut input: Box<dyn Write + Send>,
    queue: &Receiver<Job>,
    taken: &AtomicU64,
    exit: watch::Receiver<Option<Exit>>,
) {
    while let Ok(job) = queue.recv() {
        let result = job.bytes.chunks(STEP).try_for_each(|step| {
            input.write_all(step)?;
            taken.fetch_add(1, Ordering::SeqCst);
            input.flush()
        });
        // Whoever asked may have lost patience.
        let _told = job.done.send(result);
    }
    // Dropping portable-pty's writer types a newline and Ctrl+D, which would
    // end the program: that may happen only when there is none.
    let exit = exit;
    while exit.borrow().is_none() && exit.has_changed().is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
}
