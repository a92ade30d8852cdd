//! Single flight: of those who ask for the same thing at the same time, the
//! first starts the work and all get its outcome. The work continues when those
//! who wait for it go away.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex},
};

use tokio::sync::watch;

type Outcome<V> = watch::Receiver<Option<V>>;

/// The work in progress, by key.
#[derive(Debug)]
pub(super) struct SingleFlight<K, V>(Arc<Mutex<HashMap<K, Outcome<V>>>>);

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> SingleFlight<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Waits for the work with this key, which is started unless it is in
    /// progress. `None` if the work panicked.
    pub(super) async fn join<F>(&self, key: &K, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut outcome = self.start(key, work);
        match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            // The sender was dropped without an outcome.
            Err(_) => None,
        }
    }

    fn start<F>(&self, key: &K, work: impl FnOnce() -> F) -> Outcome<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut in_progress = self.0.lock().expect("no holder of the lock panics");
        if let Some(outcome) = in_progress.get(key) {
            return outcome.clone();
        }
        let (sender, outcome) = watch::channel(None);
        in_progress.insert(key.clone(), outcome.clone());
        let entry = Entry(Arc::clone(&self.0), key.clone());
        let work = work();
        tokio::spawn(async move {
            let outcome = work.await;
            // Removed first: whoever asks from here on starts the work again.
            drop(entry);
            sender.send_replace(Some(outcome));
        });
        outcome
    }
}

/// Removes its key when it is dropped, also by a panic of the work.
struct Entry<K: Eq + Hash, V>(Arc<Mutex<HashMap<K, Outcome<V>>>>, K);

impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        if let Ok(mut in_progress) = self.0.lock() {
            drop(in_progress.remove(&self.1));
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

    use super::SingleFlight;

    async fn counted(count: Arc<AtomicU32>, go: Arc<Notify>) -> u32 {
        go.notified().await;
        count.fetch_add(1, Ordering::SeqCst) + 1
    }

    #[tokio::test]
    async fn many_callers_share_one_run_of_the_work() {
        let single_flight = SingleFlight::<_, u32>::default();
        let (count, go) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let work = || counted(Arc::clone(&count), Arc::clone(&go));
        let callers = join_all((0..50).map(|_| single_flight.join(&"key", work)));
        go.notify_one();
        assert_eq!(callers.await, vec![Some(1); 50]);
        go.notify_one();
        let next = single_flight.join(&"key", work).await;
        assert_eq!(next, Some(2), "the next caller starts it again");
    }

    #[tokio::test]
    async fn work_that_panics_ends_the_wait_and_can_be_started_again() {
        let single_flight = SingleFlight::<_, u32>::default();
        let broken = single_flight.join(&1, || async { panic!("broken") }).await;
        assert_eq!(broken, None);
        assert_eq!(single_flight.join(&1, || async { 7 }).await, Some(7));
    }
}
