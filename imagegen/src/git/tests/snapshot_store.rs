//! Snapshots while others write, and where links do not reach.

use std::{fs, os::unix::fs::MetadataExt, process::Stdio, sync::Barrier, thread, time::Duration};

use super::{
    snapshot::{fsck, kept},
    *,
};
use crate::{error::Kind, git::SnapshotStore};

#[test]
fn many_at_once_take_the_same() {
    let repo = TestRepo::new();
    let head = repo.fill();
    let kept = kept();
    let others = (0..8).map(|_| kept.reopened()).collect::<Vec<_>>();
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
    let shelf = fs::read_dir(kept.state.path().join("snapshots"))
        .unwrap()
        .next()
        .unwrap();
    let left = fs::read_dir(shelf.unwrap().path()).unwrap().count();
    assert_eq!(left, 2, "one snapshot and the commits");
}

#[test]
fn a_repack_may_race() {
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
        let kept = kept();
        match kept.store.take(&repo.open(), head, &kept.cache) {
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
    let (first, kept) = (repo.fill(), kept());
    let old = kept.take(&repo, first).id();
    repo.write("new", "new");
    let second = repo.commit("three");
    let held = kept.take(&repo, second);
    let none = |_| false;
    assert_eq!(
        kept.store.expire(Duration::from_secs(60), &none).unwrap(),
        0
    );
    assert_eq!(
        kept.store.expire(Duration::ZERO, &|id| id == old).unwrap(),
        0
    );
    assert_eq!(
        kept.store.expire(Duration::ZERO, &none).unwrap(),
        1,
        "one is open"
    );
    assert!(
        kept.store
            .find(&repo.open(), old, &kept.cache)
            .unwrap()
            .is_none()
    );
    assert_ne!(kept.take(&repo, first).id(), old, "a new one was taken");
    drop(held);
    assert_eq!(kept.store.expire(Duration::ZERO, &none).unwrap(), 1);
    let shelf = fs::read_dir(kept.state.path().join("snapshots"))
        .unwrap()
        .next()
        .unwrap();
    let shelf = shelf.unwrap().path();
    assert_eq!(fs::read_dir(shelf.join("commits")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(shelf).unwrap().count(), 1);
}

/// Only where the temporary directory and shared memory are two file systems.
#[test]
fn what_cannot_be_linked_is_held_open() {
    let shared = Path::new("/dev/shm");
    let repo = TestRepo::new();
    let device = |path: &Path| fs::metadata(path).ok().map(|about| about.dev());
    if device(shared).is_none() || device(shared) == device(&repo.path()) {
        return;
    }
    repo.write("noise", noise(2 << 20, 5));
    let head = repo.commit("noise");
    repo.git(&["repack", "-adq"]);
    let state = TempDir::new_in(shared).unwrap();
    let (store, cache) = (SnapshotStore::open(state.path()).unwrap(), cache(64 << 20));
    let snapshot = store.take(&repo.open(), head, &cache).unwrap();
    let warning = snapshot.warning().unwrap();
    assert!(warning.contains("holds 1 files open"), "{warning}");
    let linked = kept().take(&repo, head);
    assert_eq!(
        linked.id(),
        snapshot.id(),
        "how it is kept is not what it is"
    );
    let expected = git_list(&repo, head);
    repo.write("noise", "");
    repo.git(&["commit", "-q", "-a", "--amend", "-m", "quiet"]);
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(list(snapshot.objects(), head), expected);
    fsck(&snapshot, head);
    // After a restart it is gone, and says so by not being there.
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
    let snapshot = kept().take(&repo, head);
    list(snapshot.objects(), head);
    assert_eq!(look(), before);
}
