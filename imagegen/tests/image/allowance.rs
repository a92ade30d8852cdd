//! What an image may take is asked for before it is taken.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use imagegen::{
    Error, Kind, Result,
    git::{Cache, ObjectId, Repository},
    image::{Allowance, Image, Origin},
};

use crate::harness::{TestRepo, bare, file};

/// Allows so much, and remembers the most that was asked for.
#[derive(Default)]
struct Limits {
    memory: u64,
    converted: u64,
    most: AtomicU64,
}

fn refuse(allowed: bool) -> Result<()> {
    if allowed {
        return Ok(());
    }
    Err(Error::new(Kind::Unsupported, "not allowed"))
}

impl Allowance for Limits {
    fn memory(&self, bytes: u64) -> Result<()> {
        self.most.fetch_max(bytes, Ordering::Relaxed);
        refuse(bytes <= self.memory)
    }

    fn converted(&self, bytes: u64) -> Result<()> {
        self.most.fetch_max(bytes, Ordering::Relaxed);
        refuse(bytes <= self.converted)
    }
}

fn open(repo: &TestRepo, head: ObjectId, cache: &Arc<Cache>, limits: &Limits) -> Result<Image> {
    let objects = Repository::open(&repo.path())?.objects(cache)?;
    Image::open_within(Origin::Objects(objects), head, &bare(), limits)
}

#[test]
fn files_to_convert_are_refused_before_one_is_read() {
    let files = [
        file(".gitattributes", "*.txt text eol=crlf\n"),
        file("bomb/large.txt", "\n".repeat(100_000)),
        file("small.txt", "\n".repeat(10)),
        file("other", "\n".repeat(200_000)),
    ]
    .concat();
    let (repo, head) = TestRepo::holding(&files);
    let cache = Cache::new(4 << 20, &repo.beside(""));
    let limits = |converted| Limits {
        memory: u64::MAX,
        converted,
        ..Limits::default()
    };
    let refused = open(&repo, head, &cache, &limits(100_009)).unwrap_err();
    let text = refused.to_string();
    assert!(text.ends_with(": bomb/large.txt: not allowed"), "{text}");
    // The attributes are read, and nothing else.
    assert!(cache.inflated() < 100, "{}", cache.inflated());
    // By what the files become.
    let refused = open(&repo, head, &cache, &limits(200_019)).unwrap_err();
    let text = refused.to_string();
    assert!(text.ends_with(": bomb/large.txt: not allowed"), "{text}");
    let image = open(&repo, head, &cache, &limits(200_020)).unwrap();
    assert_eq!(image.converted_bytes(), 200_020);
}

/// Two trees that each refer to the one below as 16 directories, and so on: some
/// objects, and a directory in every 16 to the power of `depth`.
fn bomb(repo: &TestRepo, depth: usize) -> ObjectId {
    let blob = repo
        .id(&format!("{}^{{tree}}", repo.import(&file("f", "1"))))
        .to_string();
    let mut tree = blob;
    for _ in 0..depth {
        let lines: Vec<_> = (0..16)
            .map(|number| format!("040000 tree {tree}\td{number}\n"))
            .collect();
        tree = repo.tree(&lines.concat()).to_string();
    }
    let tree = ObjectId::from_hex(tree.as_bytes()).unwrap();
    repo.commit(tree)
}

#[test]
fn a_plan_is_refused_while_it_grows() {
    let repo = TestRepo::new();
    let head = bomb(&repo, 4);
    let cache = Cache::new(4 << 20, &repo.beside(""));
    let limits = |memory| Limits {
        memory,
        converted: 0,
        ..Limits::default()
    };
    let all = limits(u64::MAX);
    let image = open(&repo, head, &cache, &all).unwrap();
    let whole = u64::try_from(image.heap_bytes()).unwrap();
    // What was asked for covers the plan, and not much more.
    let most = all.most.load(Ordering::Relaxed);
    assert!((whole..2 * whole).contains(&most), "{most} for {whole}");
    assert!(whole > 8 << 20, "{whole}");
    let some = limits(1 << 20);
    let refused = open(&repo, head, &cache, &some).unwrap_err();
    assert!(refused.to_string().ends_with(": not allowed"), "{refused}");
    let asked = some.most.load(Ordering::Relaxed);
    assert!(asked < 2 << 20, "{asked}");
}

#[test]
fn listings_count_while_an_image_holds_them_and_the_cache_does_not() {
    let files: Vec<_> = (0..1000)
        .flat_map(|number| file(format!("d{number}/file"), "text"))
        .collect();
    let (repo, head) = TestRepo::holding(&files);
    let everything = Limits {
        memory: u64::MAX,
        ..Limits::default()
    };
    let large = Cache::new(64 << 20, &repo.beside(""));
    let image = open(&repo, head, &large, &everything).unwrap();
    assert_eq!(large.pinned_listings(), 0);
    drop(image);
    let none = Cache::new(0, &repo.beside(""));
    let image = open(&repo, head, &none, &everything).unwrap();
    let listings = u64::try_from(image.listing_bytes()).unwrap();
    assert!(none.pinned_listings() > listings);
    drop(image);
    assert_eq!(none.pinned_listings(), 0);
}
