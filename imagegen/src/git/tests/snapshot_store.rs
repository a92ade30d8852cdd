//! The store of snapshots: concurrent use, expiry, and other file systems.

use std::{
    fs, num::NonZeroUsize, os::unix::fs::MetadataExt, process::Stdio, sync::Barrier, thread,
    time::Duration,
};

use super::{
    snapshot::{fsck, test_store},
    *,
};
use crate::{
    error::Kind,
    git::{SnapshotStore, open_files::Shares},
};

#[test]
fn concurrent_processes_get_the_same_snapshot() {
    let repo = TestRepo::new();
    let head = repo.fill();
    let store = test_store();
    let others = (0..8).map(|_| store.reopened()).collect::<Vec<_>>();
    let barrier = Barrier::new(others.len());
    let ids = thread::scope(|scope| {
        let takers = others.iter().map(|other| {
            scope.spawn(|| {
                barrier.wait();
                other.take(&repo, head).id()
            })
        });
        let takers = takers.collect::<Vec<_>>();
        takers
            .into_iter()
            .map(|taker| taker.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    let home = fs::read_dir(store.state.path().join("snapshots.2"))
        .unwrap()
        .next()
        .unwrap();
    let left = fs::read_dir(home.unwrap().path()).unwrap().count();
    assert_eq!(left, 2, "one snapshot and the commits");
}

#[test]
fn snapshots_are_complete_during_repacks() {
    let repo = TestRepo::new();
    let head = repo.fill();
    for round in 0..30 {
        repo.write("src/main.c", format!("{round}\n").repeat(50));
        repo.commit("more");
    }
    let head2 = repo.id("HEAD");
    let mut repacking = Command::new("sh")
        .args([
            "-c",
            "for i in 1 2 3 4 5 6 7 8; do git repack -adfq --depth=$i; done",
        ])
        .current_dir(repo.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut taken = 0;
    while repacking.try_wait().unwrap().is_none() {
        let store = test_store();
        match store.store.take(&repo.open(), head, &store.cache) {
            Ok(snapshot) => {
                assert_eq!(list(snapshot.objects(), head2), git_list(&repo, head2));
                fsck(&snapshot, head);
                taken += 1;
            }
            Err(error) => assert_eq!(error.kind(), Kind::Io, "{error}"),
        }
    }
    assert!(taken > 0);
}

#[test]
fn unused_snapshots_expire() {
    let repo = TestRepo::new();
    let (first, store) = (repo.fill(), test_store());
    let old = store.take(&repo, first).id();
    repo.write("new", "new");
    let second = repo.commit("three");
    let held = store.take(&repo, second);
    let none = |_| false;
    assert_eq!(
        store.store.expire(Duration::from_secs(60), &none).unwrap(),
        0
    );
    assert_eq!(
        store.store.expire(Duration::ZERO, &|id| id == old).unwrap(),
        0
    );
    assert_eq!(
        store.store.expire(Duration::ZERO, &none).unwrap(),
        1,
        "one is open"
    );
    assert!(
        store
            .store
            .find(&repo.open(), old, &store.cache)
            .unwrap()
            .is_none()
    );
    assert_ne!(store.take(&repo, first).id(), old, "a new one was taken");
    drop(held);
    assert_eq!(store.store.expire(Duration::ZERO, &none).unwrap(), 1);
    let home = fs::read_dir(store.state.path().join("snapshots.2"))
        .unwrap()
        .next()
        .unwrap();
    let home = home.unwrap().path();
    assert_eq!(fs::read_dir(home.join("commits")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(home).unwrap().count(), 1);
}

#[test]
fn snapshots_hold_what_the_repository_has_no_longer_and_that_is_bounded() {
    const LARGE: u64 = 300_000;
    let repo = TestRepo::new();
    let store = test_store();
    let take = |seed| {
        repo.write("large", noise(300_000, seed));
        repo.git(&["add", "."]);
        repo.git(&["commit", "-q", "--allow-empty", "--amend", "-m", "large"]);
        repo.git(&["reflog", "expire", "--expire=now", "--all"]);
        repo.git(&["gc", "-q", "--prune=now"]);
        store.take(&repo, repo.id("HEAD"))
    };
    repo.git(&["commit", "-q", "--allow-empty", "-m", "empty"]);
    let first = take(11);
    let linked = store.store.held().unwrap();
    assert!(
        linked < LARGE / 2,
        "{linked} bytes, though the repository has all"
    );
    let second = take(22);
    let held = store.store.held().unwrap();
    assert!((LARGE..2 * LARGE).contains(&held), "{held}");
    // Both are open.
    let refused = store.store.bound(LARGE / 2).unwrap_err();
    assert_eq!(refused.kind(), Kind::Unsupported);
    assert!(refused.to_string().contains("--state-limit"), "{refused}");
    drop(first);
    assert_eq!(store.store.bound(LARGE / 2).unwrap(), 1);
    assert!(store.store.held().unwrap() < LARGE / 2);
    // A new one makes room for itself.
    store.store.set_limit(LARGE / 2);
    drop(second);
    let third = take(33);
    let held = store.store.held().unwrap();
    assert!(held < LARGE / 2, "{held}");
    drop(third);
}

/// How many files below `directory` this process has open.
fn open_below(directory: &Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets
        .filter(|target| target.starts_with(directory))
        .count()
}

#[test]
fn few_of_many_files_are_open_at_once() {
    let repo = TestRepo::new();
    for file in 0..1200 {
        repo.write(&format!("f{file}"), format!("{file}"));
    }
    let head = repo.commit("many");
    let state = TempDir::new().unwrap();
    let shares = Shares {
        cached: NonZeroUsize::new(100).unwrap(),
        ..Shares::of_process()
    };
    let store = SnapshotStore::open(state.path()).unwrap();
    let cache = Cache::with_shares(64 << 20, &std::env::temp_dir(), 1 << 30, shares);
    let snapshot = store.take(&repo.open(), head, &cache).unwrap();
    assert_eq!(list(snapshot.objects(), head), git_list(&repo, head));
    fsck(&snapshot, head);
    let open = open_below(state.path());
    assert!(open > 0 && open <= 100, "{open} are open");
    drop(snapshot);
    assert_eq!(open_below(state.path()), 0);
}

/// Needs a temporary directory on another file system than `/dev/shm`.
#[test]
fn files_that_cannot_be_linked_are_held_open() {
    let shared = Path::new("/dev/shm");
    let repo = TestRepo::new();
    let device = |path: &Path| fs::metadata(path).ok().map(|about| about.dev());
    if device(shared).is_none() || device(shared) == device(&repo.path()) {
        return;
    }
    repo.write("noise", noise(2 << 20, 5));
    repo.commit("noise");
    repo.git(&["repack", "-adq"]);
    repo.write("loose", noise(2 << 20, 6));
    let head = repo.commit("loose");
    let state = TempDir::new_in(shared).unwrap();
    let (store, cache) = (SnapshotStore::open(state.path()).unwrap(), cache(64 << 20));
    let snapshot = store.take(&repo.open(), head, &cache).unwrap();
    let warning = snapshot.warning().unwrap();
    assert!(warning.contains("holds 1 files of"), "{warning}");
    let linked = test_store().take(&repo, head);
    assert_eq!(
        linked.id(),
        snapshot.id(),
        "the id does not depend on how files are linked"
    );
    let expected = git_list(&repo, head);
    repo.write("noise", "");
    repo.write("loose", "");
    repo.git(&["commit", "-q", "-a", "--amend", "-m", "quiet"]);
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(list(snapshot.objects(), head), expected);
    fsck(&snapshot, head);
    // After a restart it is lost, and not found.
    let (id, cache) = (snapshot.id(), self::cache(1 << 20));
    let again = SnapshotStore::open(state.path()).unwrap();
    assert!(again.find(&repo.open(), id, &cache).unwrap().is_none());
    drop(snapshot);
    assert_eq!(
        again
            .take(&repo.open(), head, &cache)
            .map(drop)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
}

#[test]
fn nothing_is_written_into_the_repository() {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["repack", "-adq"]);
    let look = || {
        let found = Command::new("find")
            .args([".", "-printf", "%p %s %T@ %m\n"])
            .current_dir(repo.path())
            .output();
        String::from_utf8(found.unwrap().stdout).unwrap()
    };
    let before = look();
    let snapshot = test_store().take(&repo, head);
    list(snapshot.objects(), head);
    assert_eq!(look(), before);
}

/// A server of the last release may still have them open, and touches them when
/// it opens them.
#[test]
fn snapshots_of_format_1_are_kept_until_nobody_has_opened_them_for_a_while() {
    let store = test_store();
    let older = store.state.path().join("snapshots/0123456789abcdef");
    let snapshot = older.join("fedcba9876543210");
    fs::create_dir_all(snapshot.join("objects")).unwrap();
    fs::create_dir_all(older.join("commits")).unwrap();
    fs::write(older.join("commits/1234"), "fedcba9876543210\n").unwrap();
    let none = |_| false;
    store
        .store
        .expire(Duration::from_secs(3600), &none)
        .unwrap();
    assert!(snapshot.is_dir());
    store.store.expire(Duration::ZERO, &none).unwrap();
    assert!(!store.state.path().join("snapshots").exists());
}
