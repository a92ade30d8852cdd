//! Ends a server that has been idle for long enough.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};

use crate::serve::session::Session;

/// How long before an idle server ends `/readyz` announces it.
const NOTICE: Duration = Duration::from_secs(3);
/// How often a session that is in use is looked at.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long a session that is idle may be left alone.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// Returns when the session has been idle for `limit`, or never without one.
/// Shortly before, `ending` becomes true and `/readyz` answers 503, so that a
/// coordinator sends no more requests; one that comes nonetheless cancels the end.
pub(super) async fn idle_for(session: &Session, limit: Option<Duration>, ending: &AtomicBool) {
    let Some(limit) = limit else {
        return pending().await;
    };
    loop {
        match session.idle_since() {
            Some(since) if since.elapsed() >= limit => {
                ending.store(true, Ordering::SeqCst);
                sleep(NOTICE).await;
                if session.idle_since() == Some(since) {
                    return;
                }
                ending.store(false, Ordering::SeqCst);
            }
            Some(since) => sleep_until((since + limit).min(Instant::now() + MAX_SLEEP)).await,
            None => sleep(POLL_INTERVAL).await,
        }
    }
}
