//! The exports that clients have open.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use crate::width::to_u64;

/// An export that clients have open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenExport {
    /// The canonical name.
    pub name: String,
    /// How many connections have it open.
    pub connections: u64,
    /// When the first of them did, since when there was always one.
    pub since: SystemTime,
    /// Reads since then, failed ones too.
    pub reads: u64,
    /// Bytes that were read.
    pub read_bytes: u64,
}

/// The exports in transmission, by canonical name.
#[derive(Debug, Default)]
pub(crate) struct OpenExports(Mutex<HashMap<String, Arc<Usage>>>);

#[derive(Debug)]
struct Usage {
    since: SystemTime,
    connections: AtomicU64,
    reads: AtomicU64,
    read_bytes: AtomicU64,
}

/// A connection that has an export open, until it is dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    exports: Arc<OpenExports>,
    name: String,
    usage: Arc<Usage>,
}

impl OpenExports {
    /// A connection opens an export.
    pub(crate) fn enter(self: &Arc<Self>, name: &str) -> Visit {
        let mut open = self.open();
        let new = || {
            Arc::new(Usage {
                since: SystemTime::now(),
                connections: AtomicU64::new(0),
                reads: AtomicU64::new(0),
                read_bytes: AtomicU64::new(0),
            })
        };
        let usage = Arc::clone(open.entry(name.to_owned()).or_insert_with(new));
        usage.connections.fetch_add(1, Ordering::Relaxed);
        drop(open);
        Visit {
            exports: Arc::clone(self),
            name: name.to_owned(),
            usage,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        to_u64(self.open().len())
    }

    /// Those with most connections, at most so many; then by name.
    pub(crate) fn list(&self, limit: usize) -> Vec<OpenExport> {
        let open = self.open();
        let mut by_use: Vec<_> = open.iter().collect();
        by_use.sort_unstable_by(|(a, a_use), (b, b_use)| {
            let order = b_use.connections().cmp(&a_use.connections());
            order.then_with(|| a.cmp(b))
        });
        by_use.truncate(limit);
        by_use.into_iter().map(read).collect()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, Arc<Usage>>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

fn read((name, usage): (&String, &Arc<Usage>)) -> OpenExport {
    OpenExport {
        name: name.clone(),
        connections: usage.connections(),
        since: usage.since,
        reads: usage.reads.load(Ordering::Relaxed),
        read_bytes: usage.read_bytes.load(Ordering::Relaxed),
    }
}

impl Usage {
    fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Visit {
    /// Counts reads.
    pub(crate) fn add(&self, reads: u64, bytes: u64) {
        self.usage.reads.fetch_add(reads, Ordering::Relaxed);
        self.usage.read_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut open = self.exports.open();
        if self.usage.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            open.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_listed_while_a_connection_has_it() {
        let exports = Arc::new(OpenExports::default());
        let (first, second) = (exports.enter("b"), exports.enter("b"));
        let other = exports.enter("a");
        first.add(2, 8192);
        second.add(1, 1);
        let listed = exports.list(9);
        let names: Vec<_> = listed.iter().map(|open| open.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let b = &listed[0];
        assert_eq!((b.connections, b.reads, b.read_bytes), (2, 3, 8193));
        assert_eq!(exports.list(1).len(), 1);
        drop((first, other));
        assert_eq!((exports.count(), exports.list(9)[0].connections), (1, 1));
        drop(second);
        assert_eq!(exports.count(), 0);
    }
}
