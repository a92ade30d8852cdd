//! Taking, finding and reading snapshots.

use std::{fs, os::unix::fs::MetadataExt, sync::Arc};

use tempfile::TempDir;

use super::*;
use crate::{
    error::Kind,
    git::{Snapshot, SnapshotStore},
};

pub(super) struct TestStore {
    pub(super) state: TempDir,
    pub(super) store: SnapshotStore,
    pub(super) cache: Arc<Cache>,
}

/// A store on the file system of the temporary repositories, so that files can
/// be hard-linked.
pub(super) fn test_store() -> TestStore {
    let state = TempDir::new().unwrap();
    let store = SnapshotStore::open(state.path()).unwrap();
    TestStore {
        state,
        store,
        cache: cache(64 << 20),
    }
}

impl TestStore {
    pub(super) fn take(&self, repo: &TestRepo, commit: ObjectId) -> Arc<Snapshot> {
        self.store.take(&repo.open(), commit, &self.cache).unwrap()
    }

    /// The same store, as opened by another process.
    pub(super) fn reopened(&self) -> Self {
        let state = TempDir::new().unwrap();
        let store = SnapshotStore::open(self.state.path()).unwrap();
        Self {
            state,
            store,
            cache: cache(64 << 20),
        }
    }
}

fn paths(snapshot: &Snapshot) -> Vec<String> {
    snapshot
        .files()
        .iter()
        .map(|file| file.path.to_string())
        .collect()
}

/// A bare repository with the files of a snapshot, without refs.
pub(super) fn written(snapshot: &Snapshot) -> TempDir {
    let directory = TempDir::new().unwrap();
    let format = format!("--object-format={}", snapshot.object_format());
    run(
        directory.path(),
        &["init", "-q", "--bare", "-b", "main", &format, "."],
        b"",
    );
    for file in snapshot.files() {
        let path = directory.path().join("objects").join(file.path.to_string());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = vec![0; usize::try_from(file.size).unwrap()];
        file.read_at(0, &mut bytes).unwrap();
        fs::write(path, bytes).unwrap();
    }
    directory
}

/// Writes the files of a snapshot to a repository, and runs `git fsck` on it.
pub(super) fn fsck(snapshot: &Snapshot, commit: ObjectId) {
    let directory = written(snapshot);
    if let Some(shallow) = snapshot.shallow() {
        fs::write(directory.path().join("shallow"), shallow).unwrap();
    }
    run(
        directory.path(),
        &["update-ref", "refs/heads/checked", &commit.to_string()],
        b"",
    );
    for reference in snapshot.refs().branches.iter().chain(&snapshot.refs().tags) {
        let name = reference.name.to_string();
        run(
            directory.path(),
            &["update-ref", &name, &reference.id.to_string()],
            b"",
        );
    }
    run(directory.path(), &["fsck", "--full", "--strict"], b"");
}

#[test]
fn a_snapshot_shows_packs_loose_objects_and_refs() {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["tag", "-a", "-m", "x", "v1", "HEAD~1"]);
    repo.git(&["tag", "light"]);
    // The default since git 2.41.
    repo.git(&["config", "pack.writeReverseIndex", "true"]);
    repo.git(&["repack", "-adq"]);
    repo.git(&["commit-graph", "write", "--reachable"]);
    repo.git(&["multi-pack-index", "write"]);
    repo.write("new", "new");
    let head2 = repo.commit("three");
    let store = test_store();
    let snapshot = store.take(&repo, head2);
    let paths = paths(&snapshot);
    let mut sorted = paths.clone();
    sorted.sort();
    assert_eq!(paths, sorted);
    for (extension, count) in [(".pack", 1), (".idx", 1), (".rev", 1), (".keep", 1)] {
        assert_eq!(
            paths
                .iter()
                .filter(|path| path.ends_with(extension))
                .count(),
            count
        );
    }
    assert!(paths.contains(&"info/commit-graph".to_owned()));
    assert!(paths.contains(&"pack/multi-pack-index".to_owned()));
    assert_eq!(paths.len(), 6 + 3, "and three loose objects: {paths:?}");
    let refs = snapshot.refs();
    assert_eq!(refs.head.as_ref().unwrap(), "refs/heads/main");
    assert_eq!(refs.branches.len(), 1);
    assert_eq!(
        (refs.branches[0].id, refs.branches[0].peeled),
        (head2, None)
    );
    let names = refs
        .tags
        .iter()
        .map(|tag| tag.name.to_string())
        .collect::<Vec<_>>();
    assert_eq!(names, ["refs/tags/light", "refs/tags/v1"]);
    assert_eq!(refs.tags[0].peeled, None);
    assert_eq!(refs.tags[1].peeled, Some(repo.id("HEAD~2")));
    assert_eq!(snapshot.origin(), None, "no path of the server is in it");
    assert_eq!(snapshot.warning(), None);
    assert_eq!(list(snapshot.objects(), head), git_list(&repo, head));
    fsck(&snapshot, head2);
}

#[test]
fn packs_are_linked_and_outlive_a_gc_and_a_restart() {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["repack", "-adq"]);
    let store = test_store();
    let snapshot = store.take(&repo, head);
    let expected = git_list(&repo, head);
    let pack = snapshot
        .files()
        .iter()
        .find(|file| file.path.ends_with(b".pack"))
        .unwrap();
    let served = repo.path().join(".git/objects").join(pack.path.to_string());
    assert_eq!(fs::metadata(&served).unwrap().nlink(), 2);
    repo.git(&["commit", "-q", "--amend", "-m", "another"]);
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
    assert!(
        repo.objects().commit(head).is_err(),
        "the commit is gone from the repository"
    );
    assert_eq!(list(snapshot.objects(), head), expected);
    fsck(&snapshot, head);

    let again = store.reopened();
    let found = again
        .store
        .find(&repo.open(), snapshot.id(), &again.cache)
        .unwrap()
        .unwrap();
    assert_eq!(found.id(), snapshot.id());
    assert_eq!(paths(&found), paths(&snapshot));
    assert_eq!(found.refs(), snapshot.refs());
    assert_eq!(list(found.objects(), head), expected);
    assert_eq!(again.take(&repo, head).id(), snapshot.id(), "it is sticky");
    let newer = again.take(&repo, repo.id("HEAD"));
    assert_ne!(newer.id(), snapshot.id());
    let none = "0123456789abcdef0123456789abcdef".parse().unwrap();
    assert!(
        again
            .store
            .find(&repo.open(), none, &again.cache)
            .unwrap()
            .is_none()
    );
}

#[test]
fn the_id_depends_on_the_content_only() {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["remote", "add", "origin", "https://example.org/x.git"]);
    let first = test_store().take(&repo, head);
    assert_eq!(first.origin(), Some("https://example.org/x.git"));
    let copy = repo.beside("copy");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(repo.path())
        .arg(&copy)
        .status()
        .unwrap();
    assert!(copied.success());
    let store = test_store();
    let other = Repository::open(&copy).unwrap();
    let second = store.store.take(&other, head, &store.cache).unwrap();
    assert_eq!(first.id(), second.id());
    repo.git(&["branch", "another"]);
    let third = test_store().take(&repo, head);
    assert_ne!(first.id(), third.id());
}

#[test]
fn a_process_opens_a_snapshot_once() {
    let repo = TestRepo::new();
    let head = repo.fill();
    let store = test_store();
    let (first, second) = (store.take(&repo, head), store.take(&repo, head));
    assert!(Arc::ptr_eq(&first, &second));
    let third = store
        .store
        .find(&repo.open(), first.id(), &store.cache)
        .unwrap()
        .unwrap();
    assert!(Arc::ptr_eq(&first, &third));
}

#[test]
fn objects_of_alternates_are_included() {
    let repo = TestRepo::new();
    repo.fill();
    repo.git(&["repack", "-adq"]);
    let clone = repo.beside("clone");
    repo.git(&["clone", "-q", "--shared", ".", clone.to_str().unwrap()]);
    run(
        &clone,
        &["commit", "-q", "--allow-empty", "-m", "mine"],
        b"",
    );
    let opened = Repository::open(&clone).unwrap();
    let head = opened.resolve("HEAD").unwrap().commit;
    let store = test_store();
    let snapshot = store.store.take(&opened, head, &store.cache).unwrap();
    assert!(
        !paths(&snapshot)
            .iter()
            .any(|path| path.contains("alternates"))
    );
    fsck(&snapshot, head);
}

#[test]
fn sha256_and_shallow_repositories_are_supported_and_partial_ones_refused() {
    let repo = TestRepo::with(&["--object-format=sha256"]);
    let head = repo.fill();
    repo.git(&["repack", "-adq"]);
    let store = test_store();
    fsck(&store.take(&repo, head), head);

    let repo = TestRepo::new();
    let head = repo.fill();
    let url = format!("file://{}", repo.path().display());
    let clone = repo.beside("shallow");
    repo.git(&["clone", "-q", "--depth=1", &url, clone.to_str().unwrap()]);
    let opened = Repository::open(&clone).unwrap();
    let snapshot = store.store.take(&opened, head, &store.cache).unwrap();
    assert_eq!(snapshot.shallow().unwrap(), format!("{head}\n").as_bytes());
    assert_eq!(snapshot.origin(), Some(url.as_str()), "origin/* are of it");
    fsck(&snapshot, head);

    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    let clone = repo.beside("partial");
    repo.git(&[
        "clone",
        "-q",
        "--filter=blob:limit=1k",
        &url,
        clone.to_str().unwrap(),
    ]);
    let opened = Repository::open(&clone).unwrap();
    let error = store.store.take(&opened, head, &store.cache).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("is a partial clone"), "{error}");
}

#[test]
fn a_missing_commit_is_not_found() {
    let repo = TestRepo::new();
    repo.fill();
    let (store, id) = (test_store(), ObjectId::Sha1([9; 20]));
    let error = store
        .store
        .take(&repo.open(), id, &store.cache)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

#[test]
fn files_are_read_by_range_and_from_the_page_cache() {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["repack", "-adq"]);
    let store = test_store();
    let snapshot = store.take(&repo, head);
    let file = snapshot
        .files()
        .iter()
        .find(|file| file.path.ends_with(b".pack"))
        .unwrap();
    let mut start = [0; 4];
    assert!(
        !file.try_read_cached(0, &mut start).unwrap(),
        "not opened yet"
    );
    file.read_at(0, &mut start).unwrap();
    assert_eq!(&start, b"PACK");
    let mut ready = [0; 12];
    if file.try_read_cached(0, &mut ready).unwrap() {
        assert_eq!(&ready[..4], b"PACK");
    }
    for (offset, length) in [(file.size, 1), (file.size - 3, 4), (u64::MAX, 1)] {
        let mut buffer = vec![0; length];
        assert_eq!(
            file.read_at(offset, &mut buffer).unwrap_err().kind(),
            Kind::Invalid
        );
        assert_eq!(
            file.try_read_cached(offset, &mut buffer)
                .unwrap_err()
                .kind(),
            Kind::Invalid
        );
    }
    let keep = snapshot
        .files()
        .iter()
        .find(|file| file.path.ends_with(b".keep"))
        .unwrap();
    assert_eq!(keep.size, 0);
    keep.read_at(0, &mut []).unwrap();
    assert!(keep.try_read_cached(0, &mut []).unwrap());
}
