//! A server that ends when nobody uses it: the one that attach has started for a
//! repository on this host.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use blockd_nbd::server::Watch;
use tokio::time::sleep;

/// How often it is looked whether somebody is connected.
const INTERVAL: Duration = Duration::from_millis(500);
/// How many looks in a row must find nobody.
const LOOKS: u32 = 4;

/// The file that is locked by those who are about to connect.
pub(super) struct Unused(File);

impl Unused {
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub(super) fn open(lock: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).open(lock);
        let opened = opened.with_context(|| format!("--ends-unused {}", lock.display()));
        opened.map(Self)
    }

    /// Waits until nobody is connected, nor about to be. From then on the file is locked,
    /// until this process has ended: who wants to connect waits for that, and starts
    /// another.
    pub(super) async fn wait(&self, watch: &Watch) {
        let mut looks = 0;
        loop {
            sleep(INTERVAL).await;
            let is_used = watch.figures().connections.used > 0;
            looks = if is_used { 0 } else { looks + 1 };
            if looks >= LOOKS && self.0.try_lock().is_ok() {
                return;
            }
        }
    }
}
