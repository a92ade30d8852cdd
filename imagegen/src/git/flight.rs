//! One reader works, the others wait for what comes out.

use std::{
    collections::HashMap,
    result,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use gix::ObjectId;

use super::{Blob, sync::lock};
use crate::error::{Error, Kind, Result};

/// Blobs being read at this moment.
#[derive(Debug, Default)]
pub(super) struct Flights {
    going: Mutex<HashMap<ObjectId, Arc<Flight>>>,
}

/// What a flight brought. A failure is told to those who waited for it and
/// then forgotten.
type Outcome = result::Result<Blob, (Kind, String)>;

#[derive(Debug, Default)]
struct Flight {
    outcome: Mutex<Option<Outcome>>,
    landed: Condvar,
}

impl Flights {
    /// Does `work` for `id`, or waits for somebody who is doing it already.
    pub(super) fn join(&self, id: ObjectId, work: impl FnOnce() -> Result<Blob>) -> Result<Blob> {
        let mut going = lock(&self.going);
        if let Some(flight) = going.get(&id).cloned() {
            drop(going);
            return flight.wait();
        }
        let flight = Arc::default();
        going.insert(id, Arc::clone(&flight));
        drop(going);
        let mut landing = Landing {
            flights: self,
            id,
            flight,
            outcome: None,
        };
        let result = work();
        landing.outcome = Some(match &result {
            Ok(blob) => Ok(blob.clone()),
            Err(error) => Err((error.kind(), error.to_string())),
        });
        drop(landing);
        result
    }
}

impl Flight {
    fn wait(&self) -> Result<Blob> {
        let mut outcome = lock(&self.outcome);
        loop {
            match &*outcome {
                Some(Ok(blob)) => return Ok(blob.clone()),
                Some(Err((kind, told))) => return Err(Error::new(*kind, told.clone())),
                None => {}
            }
            outcome = self
                .landed
                .wait(outcome)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Lands the flight however its work ended, so that nobody waits for ever.
struct Landing<'a> {
    flights: &'a Flights,
    id: ObjectId,
    flight: Arc<Flight>,
    outcome: Option<Outcome>,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        lock(&self.flights.going).remove(&self.id);
        let died = || Err((Kind::Io, format!("reading {} was broken off", self.id)));
        *lock(&self.flight.outcome) = Some(self.outcome.take().unwrap_or_else(died));
        self.flight.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn many_readers_make_one_flight_and_a_failure_is_forgotten() {
        let (flights, flown) = (Flights::default(), AtomicU32::new(0));
        let id = ObjectId::Sha1([1; 20]);
        let fly = || {
            flights.join(id, || {
                flown.fetch_add(1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(200));
                Err(Error::new(Kind::Corrupt, "no"))
            })
        };
        thread::scope(|scope| {
            for reader in (0..8).map(|_| scope.spawn(fly)).collect::<Vec<_>>() {
                assert_eq!(reader.join().unwrap().unwrap_err().to_string(), "no");
            }
        });
        let first = flown.load(Ordering::SeqCst);
        assert!(first < 8, "{first} flights");
        let blob = flights.join(id, || Ok(Blob::Held(Arc::from(*b"yes"))));
        assert_eq!(blob.unwrap().len(), 3);
    }

    #[test]
    fn a_panic_lands_too() {
        let flights = Flights::default();
        let id = ObjectId::Sha1([1; 20]);
        let died = thread::scope(|scope| {
            scope
                .spawn(|| flights.join(id, || panic!("on purpose")))
                .join()
                .is_err()
        });
        assert!(died);
        assert!(flights.join(id, || Ok(Blob::Held(Arc::from(*b"")))).is_ok());
    }
}
