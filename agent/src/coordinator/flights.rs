//! Single flight: of those who ask for the same thing at the same time, one
//! does the work and all get what comes of it. The work goes on when those
//! who wait go away.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex},
};

use tokio::sync::watch;

type Waiting<V> = watch::Receiver<Option<V>>;

/// What is being done, by what it is for.
#[derive(Debug)]
pub(super) struct Flights<K, V>(Arc<Mutex<HashMap<K, Waiting<V>>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Waits for this work, which is begun unless it is under way. `None` if
    /// the work has panicked.
    pub(super) async fn join<F>(&self, key: &K, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut waiting = self.begin(key, work);
        let outcome = waiting.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }

    fn begin<F>(&self, key: &K, work: impl FnOnce() -> F) -> Waiting<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flights = self.0.lock().expect("nothing panics with it");
        if let Some(waiting) = flights.get(key) {
            return waiting.clone();
        }
        let (told, waiting) = watch::channel(None);
        flights.insert(key.clone(), waiting.clone());
        let landing = Landing(Arc::clone(&self.0), key.clone());
        let work = work();
        tokio::spawn(async move {
            let outcome = work.await;
            // Off the list first: who asks from here on, asks anew.
            drop(landing);
            // All may have gone.
            let _told = told.send(Some(outcome));
        });
        waiting
    }
}

/// Takes a flight off the list, even when its work panics.
struct Landing<K: Eq + Hash, V>(Arc<Mutex<HashMap<K, Waiting<V>>>>, K);

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        if let Ok(mut flights) = self.0.lock() {
            drop(flights.remove(&self.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::Flights;

    async fn counted(times: Arc<AtomicU32>, go: Arc<Notify>) -> u32 {
        go.notified().await;
        times.fetch_add(1, Ordering::SeqCst) + 1
    }

    #[tokio::test]
    async fn many_ask_and_one_works() {
        let (flights, times) = (Flights::<_, u32>::default(), Arc::new(AtomicU32::new(0)));
        let go = Arc::new(Notify::new());
        let work = || counted(Arc::clone(&times), Arc::clone(&go));
        let asked = join_all((0..50).map(|_| flights.join(&"it", work)));
        go.notify_one();
        assert_eq!(asked.await, vec![Some(1); 50]);
        go.notify_one();
        let next = flights.join(&"it", work).await;
        assert_eq!(next, Some(2), "the next one asks anew");
    }

    #[tokio::test]
    async fn work_that_panics_is_told_of_and_forgotten() {
        let flights = Flights::<_, u32>::default();
        let broken = flights.join(&1, || async { panic!("broken") }).await;
        assert_eq!(broken, None);
        assert_eq!(flights.join(&1, || async { 7 }).await, Some(7));
    }
}
