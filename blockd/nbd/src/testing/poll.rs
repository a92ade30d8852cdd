//! Waiting for what has no event of its own.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Calls `probe` until it returns a value; panics after 20 seconds, naming `what`.
pub(crate) async fn poll_until<T, F>(what: &str, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
