//! Deduplication of concurrent reads: one caller reads, the others wait for its
//! result.

use std::{
    collections::HashMap,
    result,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use gix::ObjectId;

use super::{Blob, sync::lock};
use crate::error::{Error, Kind, Result};

/// The reads in flight, by the id of what is read.
#[derive(Debug, Default)]
pub(super) struct SingleFlight {
    in_flight: Mutex<HashMap<ObjectId, Arc<Call>>>,
}

/// The result of a call. A failure goes to all callers that waited for it and
/// is not remembered after that.
type Outcome = result::Result<Blob, (Kind, String)>;

#[derive(Debug, Default)]
struct Call {
    outcome: Mutex<Option<Outcome>>,
    done: Condvar,
}

impl SingleFlight {
    /// Runs `work` for `id`, or waits for the call that is already running it.
    ///
    /// # Errors
    ///
    /// As `work`; [`Kind::Io`] if the call that was waited for panicked.
    pub(super) fn run(&self, id: ObjectId, work: impl FnOnce() -> Result<Blob>) -> Result<Blob> {
        let mut in_flight = lock(&self.in_flight);
        if let Some(call) = in_flight.get(&id).cloned() {
            drop(in_flight);
            return call.wait();
        }
        let call = Arc::default();
        in_flight.insert(id, Arc::clone(&call));
        drop(in_flight);
        let mut completion = Completion {
            single_flight: self,
            id,
            call,
            outcome: None,
        };
        let result = work();
        completion.outcome = Some(match &result {
            Ok(blob) => Ok(blob.clone()),
            Err(error) => Err((error.kind(), error.to_string())),
        });
        drop(completion);
        result
    }
}

impl Call {
    fn wait(&self) -> Result<Blob> {
        let mut outcome = lock(&self.outcome);
        loop {
            match &*outcome {
                Some(Ok(blob)) => return Ok(blob.clone()),
                Some(Err((kind, message))) => return Err(Error::new(*kind, message.clone())),
                None => {}
            }
            outcome = self
                .done
                .wait(outcome)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Completes a call when it is dropped, also by a panic, so that no caller
/// waits forever.
struct Completion<'a> {
    single_flight: &'a SingleFlight,
    id: ObjectId,
    call: Arc<Call>,
    outcome: Option<Outcome>,
}

impl Drop for Completion<'_> {
    fn drop(&mut self) {
        lock(&self.single_flight.in_flight).remove(&self.id);
        let panicked = || Err((Kind::Io, format!("the read of {} panicked", self.id)));
        *lock(&self.call.outcome) = Some(self.outcome.take().unwrap_or_else(panicked));
        self.call.done.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicU32, Ordering},
            mpsc,
        },
        thread,
    };

    use super::*;

    const ID: ObjectId = ObjectId::Sha1([1; 20]);

    /// Whether so many callers wait for the call that is in flight.
    fn waiting(single_flight: &SingleFlight, callers: usize) -> bool {
        let in_flight = lock(&single_flight.in_flight);
        // One reference is the map's, one the running call's.
        in_flight
            .get(&ID)
            .is_some_and(|call| Arc::strong_count(call) == callers + 2)
    }

    #[test]
    fn concurrent_callers_share_one_call_and_its_failure_is_forgotten() {
        let (single_flight, calls) = (SingleFlight::default(), AtomicU32::new(0));
        let (finish, finished) = mpsc::channel();
        let finished = Mutex::new(finished);
        let read = || {
            single_flight.run(ID, || {
                calls.fetch_add(1, Ordering::SeqCst);
                lock(&finished).recv().unwrap();
                Err(Error::new(Kind::Corrupt, "no"))
            })
        };
        thread::scope(|scope| {
            let readers = (0..8).map(|_| scope.spawn(read)).collect::<Vec<_>>();
            while !waiting(&single_flight, 7) {
                thread::yield_now();
            }
            finish.send(()).unwrap();
            for reader in readers {
                assert_eq!(reader.join().unwrap().unwrap_err().to_string(), "no");
            }
        });
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        let blob = single_flight.run(ID, || Ok(Blob::InMemory(Arc::from(*b"yes"))));
        assert_eq!(blob.unwrap().len(), 3);
    }

    #[test]
    fn a_panic_completes_the_call() {
        let single_flight = SingleFlight::default();
        let (finish, finished) = mpsc::channel();
        let finished = Mutex::new(finished);
        thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                single_flight.run(ID, || {
                    lock(&finished).recv().unwrap();
                    panic!("on purpose")
                })
            });
            while !waiting(&single_flight, 0) {
                thread::yield_now();
            }
            let waiter = scope.spawn(|| single_flight.run(ID, || panic!("it is not run")));
            while !waiting(&single_flight, 1) {
                thread::yield_now();
            }
            finish.send(()).unwrap();
            assert!(panicking.join().is_err());
            let error = waiter.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), Kind::Io, "{error}");
        });
        let blob = single_flight.run(ID, || Ok(Blob::InMemory(Arc::from(*b""))));
        assert!(blob.is_ok());
    }
}
