//! The time to plan and to read an image.
//!
//! `IMAGEGEN_BENCH_REPO` is the path of a repository whose HEAD has a parent.
//! Without it, one of 60,000 files is generated.

#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

#[path = "../tests/support/git.rs"]
mod git;

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use imagegen::git::{Cache, ObjectId, Repository, SnapshotStore};
use imagegen::image::{History, Image, Options, Origin};

const BLOCK: usize = 4096;
const CACHE: usize = 512 << 20;

/// A commit, its parent, and a state directory for their snapshots.
struct Fixture {
    repository: Repository,
    before: ObjectId,
    head: ObjectId,
    state: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = env::var_os("IMAGEGEN_BENCH_REPO").map_or_else(|| generated(target), Into::into);
        let repository = Repository::open(&path).unwrap();
        let [before, head] = ["HEAD~1", "HEAD"].map(|rev| repository.resolve(rev).unwrap().commit);
        Self {
            repository,
            before,
            head,
            state: target.join("bench-state"),
        }
    }

    fn cache(&self) -> Arc<Cache> {
        Cache::new(CACHE, &self.state)
    }

    fn origin(&self, commit: ObjectId, cache: &Arc<Cache>) -> Origin {
        let store = SnapshotStore::open(&self.state).unwrap();
        Origin::Snapshot(store.take(&self.repository, commit, cache).unwrap())
    }

    /// The image of HEAD with an empty cache.
    fn cold(&self, history: History) -> Image {
        open(self.origin(self.head, &self.cache()), self.head, history)
    }
}

fn open(origin: Origin, commit: ObjectId, history: History) -> Image {
    Image::open(
        origin,
        commit,
        &Options {
            history,
            ..Options::default()
        },
    )
    .unwrap()
}

/// 60,000 files in 2,000 directories, and a second commit that changes three.
fn generated(target: &Path) -> PathBuf {
    let path = target.join("bench-60k.git");
    if path.join("made").exists() {
        return path;
    }
    fs::create_dir_all(&path).unwrap();
    git::git(&path, &["init", "-q", "--bare", "-b", "main"], b"");
    let mut stream = Vec::new();
    let mut commit = |files: &mut dyn Iterator<Item = u32>, text: &str| {
        let head = "commit refs/heads/main\ncommitter C <c@example.org> 1700000100 +0100\ndata 0\n";
        stream.extend(head.bytes());
        for number in files {
            let (area, dir) = (number / 3000, number / 30);
            let line = format!("file {number} {text}\n");
            let bytes = line.repeat(usize::try_from(number % 400).unwrap());
            let file = format!("M 100644 inline area{area}/directory{dir}/file{number}.js\n");
            stream.extend(
                [file, format!("data {}\n{bytes}\n", bytes.len())]
                    .concat()
                    .bytes(),
            );
        }
    };
    commit(&mut (0..60_000), "as it was");
    commit(&mut [100, 31_000, 59_999].into_iter(), "changed");
    git::git(&path, &["fast-import", "--quiet"], &stream);
    git::git(&path, &["repack", "-adq"], b"");
    fs::write(path.join("made"), "").unwrap();
    path
}

/// The median of the blocks with a matching description.
fn block_of(image: &Image, matches: impl Fn(&str) -> bool) -> u64 {
    let mut blocks = (0..image.size()).step_by(BLOCK).collect::<Vec<_>>();
    blocks.retain(|&offset| matches(&image.describe(offset)));
    blocks[blocks.len() / 2]
}

fn planning(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let mut group = criterion.benchmark_group("plan");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300));
    for (name, history) in [("full", History::Full), ("none", History::None)] {
        group.bench_function(format!("cold, history={name}"), |bencher| {
            bencher.iter_batched(
                || fixture.origin(fixture.head, &fixture.cache()),
                |origin| open(origin, fixture.head, history),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("next commit, history={name}"), |bencher| {
            bencher.iter_batched(
                || {
                    let cache = fixture.cache();
                    let [before, head] =
                        [fixture.before, fixture.head].map(|commit| fixture.origin(commit, &cache));
                    (open(before, fixture.before, history), head)
                },
                |(before, head)| (before, open(head, fixture.head, history)),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn metadata(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let image = fixture.cold(History::Full);
    let mut prefix = vec![0; usize::try_from(image.prefix()).unwrap()];
    image.read_at(0, &mut prefix).unwrap();
    let mut group = criterion.benchmark_group("4 KiB");
    group.throughput(Throughput::Bytes(4096)).sample_size(10);
    group
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    for (name, offset) in [
        ("superblock", 0),
        (
            "group descriptors",
            block_of(&image, |what| what.starts_with("<GroupDescr")),
        ),
        (
            "inode table",
            block_of(&image, |what| what.starts_with("<InodeTable")),
        ),
        (
            "directory",
            block_of(&image, |what| what.starts_with("<Directory")),
        ),
        (
            "cached blob",
            block_of(&image, |what| !what.starts_with(['<', '.'])),
        ),
        (
            "pack, mapped",
            block_of(&image, |what| what.starts_with(".git/objects/pack/")),
        ),
    ] {
        let mut block = [0; BLOCK];
        image.read_at(offset, &mut block).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| image.read_at(black_box(offset), &mut block).unwrap());
        });
    }
    group.finish();
}

fn cold_reads(criterion: &mut Criterion) {
    let fixture = Fixture::new();
    let mut group = criterion.benchmark_group("read");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300));

    let image = fixture.cold(History::Full);
    let mut blocks = (0..image.size()).step_by(BLOCK);
    let index = blocks
        .find(|&offset| image.describe(offset) == ".git/index")
        .unwrap();
    let mut block = [0; BLOCK];
    group.bench_function("index, encoded", |bencher| {
        bencher.iter_batched(
            || fixture.cold(History::Full),
            |image| image.read_at(index, &mut block).unwrap(),
            BatchSize::PerIteration,
        );
    });

    let image = fixture.cold(History::None);
    let (start, length) = (image.prefix(), image.size() - image.prefix());
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    group.throughput(Throughput::Bytes(length));
    group.bench_function("the whole work tree, cold", |bencher| {
        bencher.iter_batched(
            || fixture.cold(History::None),
            |image| image.read_at(start, &mut bytes).unwrap(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, planning, metadata, cold_reads);
criterion_main!(benches);
