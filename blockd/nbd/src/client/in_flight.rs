//! The reads of one connection that the server has not answered yet.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    error::{Error, Result},
    liveness::Liveness,
    request::Request,
};

/// A read that waits for its reply. It holds its permit for bytes in flight
/// until the server has answered, even if the caller has given up: the server
/// sends these bytes all the same.
#[derive(Debug)]
pub(super) struct PendingRead {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) reply: oneshot::Sender<Result<Vec<u8>>>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl PendingRead {
    /// Hands the result to the caller, who may have given up.
    pub(super) fn complete(self, result: Result<Vec<u8>>) {
        let _dropped = self.reply.send(result);
    }
}

/// Pending reads by cookie, until the connection has ended.
#[derive(Debug)]
pub(super) struct InFlight {
    state: Mutex<State>,
    liveness: Arc<Liveness>,
}

#[derive(Debug, Default)]
struct State {
    pending: HashMap<u64, PendingRead>,
    /// Why the connection has ended.
    ended: Option<Error>,
}

impl InFlight {
    pub(super) fn new(liveness: Arc<Liveness>) -> Self {
        Self {
            state: Mutex::default(),
            liveness,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }

    /// Adds the read that `request` asks for; its result comes by the receiver.
    ///
    /// # Errors
    ///
    /// The reason why the connection has ended, if it has.
    pub(super) fn insert(
        &self,
        request: Request,
        permit: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<Vec<u8>>>> {
        let (reply, result) = oneshot::channel();
        let mut state = self.lock();
        if let Some(error) = &state.ended {
            return Err(error.clone());
        }
        let read = PendingRead {
            offset: request.offset,
            length: request.length,
            reply,
            since: Instant::now(),
            _permit: permit,
        };
        state.pending.insert(request.cookie, read);
        Ok(result)
    }

    /// Removes the read that a reply answers.
    pub(super) fn remove(&self, cookie: u64) -> Result<PendingRead> {
        let read = self.lock().pending.remove(&cookie);
        self.liveness.record_answer();
        read.ok_or_else(|| Error::protocol("a reply to no request"))
    }

    /// Offset and length of the read that a reply or a chunk of one belongs to.
    pub(super) fn range(&self, cookie: u64) -> Result<(u64, u32)> {
        let state = self.lock();
        let read = state.pending.get(&cookie);
        read.map(|read| (read.offset, read.length))
            .ok_or_else(|| Error::protocol("a reply to no request"))
    }

    /// Ends the connection: every pending read fails with `error`, and so does
    /// every later one (with the first error, if this is called again).
    pub(super) fn fail(&self, error: &Error) {
        let pending = {
            let mut state = self.lock();
            state.ended.get_or_insert_with(|| error.clone());
            mem::take(&mut state.pending)
        };
        for (_, read) in pending {
            read.complete(Err(error.clone()));
        }
        self.liveness.connection_ended.notify_one();
    }

    /// How many reads are pending; `None` when the connection has ended.
    pub(super) fn load(&self) -> Option<usize> {
        let state = self.lock();
        state.ended.is_none().then_some(state.pending.len())
    }

    /// Why the connection has ended.
    pub(super) fn ended(&self) -> Option<Error> {
        self.lock().ended.clone()
    }

    /// When the oldest pending read was sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let state = self.lock();
        state.pending.values().map(|read| read.since).min()
    }
}
