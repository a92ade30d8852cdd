//! The page cache of the FUSE file, below a loop device that is read.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    process::Command,
    thread,
};

use rustix::fs::OFlags;

use crate::{
    harness::{Bench, Relay, poll_until},
    host::{Loop, Mount, Nbdkit, run},
};

/// Bytes in the page cache, at most: the bound, and what may be in flight.
const MAX_CACHED: u64 = (64 + 16) << 20;
const BLOCK: usize = 4096;

/// A relay of nbdkit's pattern (every 8 bytes are their offset), its file and a
/// loop device on it.
struct Shown {
    loop_device: Loop,
    mount: Mount,
    _relay: Relay,
    _server: Nbdkit,
    _bench: Bench,
}

impl Shown {
    async fn new(size: &str, more: &[&str]) -> Self {
        let bench = Bench::new();
        let server = Nbdkit::serve(&bench, &["pattern", size]).await;
        let fuse = bench.path("fuse");
        fs::create_dir(&fuse).unwrap();
        let changes = bench.path("changes");
        let own = ["--fuse", fuse.to_str().unwrap()];
        let cow = ["--cow", changes.to_str().unwrap()];
        let cow = if more.is_empty() { &[][..] } else { &cow[..] };
        let uri = bench.uri_of("nbdkit", "pattern");
        let relay = bench.relay(&[uri], &[&own[..], cow].concat()).await;
        let mount = Mount(fuse.clone());
        let loop_device = Loop::on(&fuse.join("disk")).await;
        Self {
            loop_device,
            mount,
            _relay: relay,
            _server: server,
            _bench: bench,
        }
    }

    /// Bytes of the file in the page cache (fincore(1)).
    fn cached(&self) -> u64 {
        let arguments = ["--bytes", "--noheadings", "--output", "RES"].map(Path::new);
        let file = self.mount.0.join("disk");
        let cached = run("fincore", &[&arguments[..], &[&file]].concat());
        cached.trim().parse().unwrap()
    }
}

fn is_pattern(bytes: &[u8], offset: u64) -> bool {
    let words = bytes
        .as_chunks()
        .0
        .iter()
        .map(|word| u64::from_be_bytes(*word));
    words
        .zip((offset..).step_by(8))
        .all(|(word, at)| word == at)
}

#[tokio::test(flavor = "multi_thread")]
async fn little_of_what_a_loop_device_reads_is_cached_twice() {
    let shown = Shown::new("400M", &[]).await;
    let device = File::open(&shown.loop_device.0).unwrap();
    let mut bytes = vec![0; 1 << 20];
    for offset in (0..400 << 20_u64).step_by(1 << 20) {
        device.read_exact_at(&mut bytes, offset).unwrap();
        assert!(is_pattern(&bytes, offset), "wrong bytes at {offset}");
        if offset % (50 << 20) == 0 {
            poll_until("little is cached", async || shown.cached() <= MAX_CACHED).await;
        }
    }
    assert!(shown.cached() > 0, "the figure is of this file");
    // At random places, until as much was read again.
    for number in 0..6000_u64 {
        let offset = number * 7919 % (100 << 10) * 4096;
        device.read_exact_at(&mut bytes[..BLOCK], offset).unwrap();
        assert!(
            is_pattern(&bytes[..BLOCK], offset),
            "wrong bytes at {offset}"
        );
    }
    poll_until("little is cached", async || shown.cached() <= MAX_CACHED).await;
}

#[repr(align(4096))]
struct Block([u8; BLOCK]);

const WRITERS: u64 = 4;
/// Of these blocks every fourth is one writer's: neighbours are not.
const BLOCKS: u64 = 48 << 8;

/// Reads, writes and reads again. Past the page cache of the loop device: what
/// is below it is meant.
fn write_about(device: &Path, writer: u64) {
    let direct = OFlags::DIRECT.bits().cast_signed();
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(direct);
    let device = options.open(device).unwrap();
    let mut block = Box::new(Block([0; BLOCK]));
    let mut written = vec![0; usize::try_from(BLOCKS).unwrap()];
    for number in 1..4000_u64 {
        let at = number * 7919 % (BLOCKS / WRITERS) * WRITERS + writer;
        let offset = at * 4096;
        let last = &mut written[usize::try_from(at).unwrap()];
        let expected = if *last == 0 { offset } else { *last };
        device.read_exact_at(&mut block.0, offset).unwrap();
        assert!(is_pattern(&block.0, expected), "stale at {offset}");
        *last = (number << 40) + offset;
        let words = block.0.as_chunks_mut().0.iter_mut();
        for (word, at) in words.zip((*last..).step_by(8)) {
            *word = at.to_be_bytes();
        }
        device.write_all_at(&block.0, offset).unwrap();
        device.read_exact_at(&mut block.0, offset).unwrap();
        assert!(is_pattern(&block.0, *last), "stale at {offset}");
    }
}

/// Every reader sees what was written last, while all around it is read and
/// dropped.
#[tokio::test(flavor = "multi_thread")]
async fn reads_never_return_what_was_overwritten() {
    let shown = Shown::new("256M", &["--cow"]).await;
    let path = &shown.loop_device.0;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || write_about(path, writer));
        }
        for _ in 0..6 {
            let mut dd = Command::new("dd");
            dd.arg(format!("if={}", path.display()));
            dd.args(["of=/dev/null", "bs=1M", "iflag=direct", "status=none"]);
            assert!(dd.status().unwrap().success());
        }
    });
    poll_until("little is cached", async || shown.cached() <= MAX_CACHED).await;
}
