//! The program's input, written on a thread of its own: when the program does
//! not read, a write blocks after some kilobytes.

use std::{
    convert::Infallible,
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

use super::exit::Exit;

/// Why bytes did not reach the program.
#[derive(Debug, Error)]
pub enum WriteError {
    /// It has read nothing for this long. What is queued may still arrive.
    #[error("the program has not read its input for {0:?}: it hangs, or is stopped")]
    Hangs(Duration),
    /// It has ended.
    #[error("the program has ended")]
    Ended,
    /// The terminal refuses them.
    #[error("cannot write to the terminal: {0}")]
    Io(#[from] io::Error),
}

/// Disconnected when the program has ended.
pub(super) type ProgramGone = Receiver<Infallible>;

struct Job {
    bytes: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

/// How many bytes are written at once: as many as a terminal buffers.
const STEP: usize = 4096;

/// Writes whole pieces, one after the other.
pub struct Writer {
    jobs: Sender<Job>,
    /// How many steps the program has read.
    steps: Arc<AtomicU64>,
    exit: watch::Receiver<Option<Exit>>,
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
        gone: ProgramGone,
    ) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let builder = thread::Builder::new().name("pty-write".into());
        let steps = Arc::<AtomicU64>::default();
        let count = Arc::clone(&steps);
        builder.spawn(move || work(input, &queue, &count, &gone))?;
        Ok(Self { jobs, steps, exit })
    }

    /// Writes a piece, whole, after all that were queued before it.
    ///
    /// # Errors
    ///
    /// When the program has ended, or has read nothing for `limit`, which is the
    /// longest time until either is noticed. In the second case `hangs` is called with true, and with false if the piece is
    /// read later.
    pub async fn write(
        &self,
        bytes: Vec<u8>,
        limit: Duration,
        hangs: impl Fn(bool) + Send + 'static,
    ) -> Result<(), WriteError> {
        let (done, mut written) = oneshot::channel();
        let queued = self.jobs.send(Job { bytes, done });
        queued.map_err(|_| WriteError::Ended)?;
        let mut before = self.steps.load(Ordering::SeqCst);
        loop {
            match timeout(limit, &mut written).await {
                Ok(Ok(result)) => return Ok(result?),
                Ok(Err(_)) => return Err(WriteError::Ended),
                Err(_) => {}
            }
            let steps = self.steps.load(Ordering::SeqCst);
            if before == steps {
                break;
            }
            before = steps;
        }
        // The kernel does not wake a writer whose program has ended.
        if self.exit.borrow().is_some() {
            return Err(WriteError::Ended);
        }
        hangs(true);
        tokio::spawn(async move {
            if let Ok(Ok(())) = written.await {
                hangs(false);
            }
        });
        Err(WriteError::Hangs(limit))
    }
}

fn work(
    mut input: Box<dyn Write + Send>,
    queue: &Receiver<Job>,
    steps: &AtomicU64,
    gone: &ProgramGone,
) {
    while let Ok(job) = queue.recv() {
        let result = job.bytes.chunks(STEP).try_for_each(|step| {
            input.write_all(step)?;
            steps.fetch_add(1, Ordering::SeqCst);
            input.flush()
        });
        // Whoever asked may have given up: the result is then of no interest.
        drop(job.done.send(result));
    }
    // portable-pty's writer types a newline and Ctrl+D when it is dropped, which
    // would end the program: it may be dropped only after the program has ended.
    let Err(mpsc::RecvError) = gone.recv();
}
