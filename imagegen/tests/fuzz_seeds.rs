//! A short run of every fuzz target: its seeds, and mutations of them for some
//! seconds. The mutations are the same every time.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

#[expect(unreachable_pub, reason = "it is also the library of the fuzz targets")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

/// The time for mutations.
const TIME: Duration = Duration::from_secs(3);
/// The longest time for one input, also on a busy machine.
const INPUT_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest allocation: objects of up to 64 MiB are decoded in memory, in a
/// buffer that may have doubled.
const LARGEST_ALLOCATION: usize = (128 << 20) + 4096;

/// The system's allocator, which records the largest allocation.
struct Watched;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Watched = Watched;

#[expect(unsafe_code, reason = "an allocator is unsafe by nature")]
// SAFETY: every call is forwarded to the system's allocator unchanged.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LARGEST.fetch_max(size, Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(corpus)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 5, "the seeds of {target} are missing");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A seed with a few changes, which may insert other seeds.
fn mutate(rng: &mut TestRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let pick =
        |rng: &mut TestRng, below: usize| usize::try_from(rng.next_u32()).unwrap() % below.max(1);
    let mut data = seeds[pick(rng, seeds.len())].clone();
    for _ in 0..=pick(rng, 4) {
        let at = pick(rng, data.len());
        let end = (at + pick(rng, 40)).min(data.len());
        let numbers = [0, 1, 0x7f, 0x80, 0xff];
        match pick(rng, 6) {
            0 if at < data.len() => data[at] ^= 1 << pick(rng, 8),
            1 => data[at..end].fill(numbers[pick(rng, numbers.len())]),
            2 => drop(data.drain(at..end)),
            3 => drop(data.splice(at..at, seeds[pick(rng, seeds.len())].clone())),
            4 => drop(data.splice(at..at, vec![rng.next_u32().to_le_bytes()[0]; end - at])),
            _ => data.truncate(end),
        }
    }
    data
}

#[expect(clippy::print_stdout, reason = "it reports the number of inputs")]
fn replay(target: &str, run: fn(&[u8])) {
    let timed = |data: &[u8]| {
        let start = Instant::now();
        run(data);
        let time = start.elapsed();
        assert!(
            time < INPUT_TIMEOUT,
            "{target}: {time:?} for {}",
            data.escape_ascii()
        );
    };
    let seeds = seeds(target);
    for seed in &seeds {
        timed(seed);
    }
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < TIME {
        timed(&mutate(&mut rng, &seeds));
        count += 1;
    }
    println!("{target}: {} seeds, {count} mutations", seeds.len());
    let largest = LARGEST.load(Ordering::Relaxed);
    assert!(largest <= LARGEST_ALLOCATION, "{largest} bytes at once");
}

#[test]
fn access() {
    replay("access", targets::access);
}

#[test]
fn attributes() {
    replay("attributes", targets::attributes);
}

#[test]
fn filter() {
    replay("filter", targets::filter);
}

#[test]
fn image_read() {
    replay("image_read", targets::image_read);
}

#[test]
fn pack_entry() {
    replay("pack_entry", targets::pack_entry);
}

#[test]
fn tree() {
    replay("tree", targets::tree);
}
