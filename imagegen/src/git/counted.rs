//! Bytes that are counted as long as something lives.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The bytes of one thing of many, in the sum of all of them. A copy counts too.
#[derive(Debug)]
pub(super) struct Counted {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Counted {
    /// Adds `bytes` to `all` until it is dropped.
    pub(super) fn new(all: &Arc<AtomicU64>, bytes: u64) -> Self {
        all.fetch_add(bytes, Ordering::Relaxed);
        let all = Arc::clone(all);
        Self { all, bytes }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(&self.all, self.bytes)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
