//! How soon the kernel lets a thread run: reads come before opens, and short opens
//! before long ones (nice(2), which on Linux is of a thread).

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use rustix::process::nice;
use tracing::warn;

/// How much nicer planning is than reading. A thread gets two thirds of the time of
/// another that is not so nice (kernel, `sched_prio_to_weight`).
const PLANNING: i32 = 2;
/// How much nicer it is beyond that which takes long, as a bomb does: a thread gets a
/// quarter of another one's. More would let other programs on this host keep large
/// repositories from being opened.
const LONG: i32 = 4;
/// What takes long.
const SHORT: Duration = Duration::from_millis(100);

thread_local! {
    static THREAD: Cell<Thread> = const { Cell::new(Thread::Shared) };
}

/// A thread, by what it may become.
#[derive(Clone, Copy)]
enum Thread {
    /// It does other work afterwards, and stays as it is.
    Shared,
    /// It ends with its work.
    Own,
    Planning(Instant),
    Long,
}

/// From now on this thread does one thing, and then ends.
pub(super) fn begin() {
    THREAD.set(Thread::Own);
}

/// It plans an image, or prefetches; threads that it starts do, too.
pub(super) fn plan() {
    if matches!(THREAD.get(), Thread::Own) {
        THREAD.set(Thread::Planning(Instant::now()));
        be_nicer(PLANNING);
    }
}

/// It still does.
pub(super) fn go_on() {
    match THREAD.get() {
        Thread::Planning(begun) if begun.elapsed() > SHORT => {
            THREAD.set(Thread::Long);
            be_nicer(LONG);
        }
        _ => {}
    }
}

/// Where the kernel does not have it, all threads are equal.
fn be_nicer(by: i32) {
    if let Err(error) = nice(by) {
        warn!(%error, "cannot let reads go before opens");
    }
}
