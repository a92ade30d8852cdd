//! Snapshots of what can be reached from one commit, judged by git.

use std::collections::BTreeSet;

use super::{
    snapshot::{TestStore, fsck, test_store, written},
    *,
};
use crate::{
    error::{Error, Kind, Result},
    git::{Bounds, Snapshot},
};

/// A repository in which a branch and a blob lie beside what `main` reaches.
struct Beside {
    repo: TestRepo,
    main: ObjectId,
    hidden: [ObjectId; 3],
}

impl Beside {
    fn new(options: &[&str]) -> Self {
        let repo = TestRepo::with(options);
        repo.fill();
        for round in 3..12 {
            let lines = (0..400).map(|at| format!("{at} {}\n", at % round));
            repo.write("src/large.txt", lines.collect::<String>());
            repo.commit("more");
        }
        repo.git(&["tag", "-a", "-m", "words", "v1"]);
        repo.git(&["tag", "-a", "-m", "of a tag", "v1.1", "v1"]);
        repo.git(&["branch", "old", "HEAD~3"]);
        repo.git(&["checkout", "-q", "-b", "secret"]);
        repo.write("src/large.txt", "key\n".repeat(300));
        let secret = repo.commit("secret");
        repo.git(&["tag", "-a", "-m", "secret", "v2"]);
        let hidden = [
            secret,
            repo.id("secret:src/large.txt"),
            repo.hash_object("blob", b"nobody has it"),
        ];
        repo.git(&["checkout", "-q", "main"]);
        let main = repo.id("main");
        Self { repo, main, hidden }
    }

    fn take(&self, store: &TestStore, pack: u64) -> Result<Arc<Snapshot>> {
        let memory = |_| Ok(());
        let bounds = Bounds {
            memory: &memory,
            pack,
        };
        let TestStore { store, cache, .. } = store;
        store.take_reachable(&self.repo.open(), self.main, cache, &bounds)
    }

    /// What git reaches from `main` and the tags of that.
    fn reached(&self) -> BTreeSet<String> {
        let all = self
            .repo
            .git(&["rev-list", "--objects", "main", "v1", "v1.1"]);
        ids(&all)
    }

    /// Checks that a snapshot has that, and nothing else.
    #[track_caller]
    fn assert_closed(&self, snapshot: &Snapshot) {
        fsck(snapshot, self.main);
        let directory = written(snapshot);
        let print = ["cat-file", "--batch-all-objects", "--batch-check"];
        let all = String::from_utf8(run(directory.path(), &print, b"")).unwrap();
        assert_eq!(ids(&all), self.reached());
        for id in &self.hidden {
            assert!(!all.contains(&id.to_string()), "{id}");
        }
        let refs = snapshot.refs();
        let names = |refs: &[crate::git::Ref]| {
            let names = refs.iter().map(|one| one.name.to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&refs.branches), "refs/heads/main refs/heads/old");
        assert_eq!(names(&refs.tags), "refs/tags/v1 refs/tags/v1.1");
    }
}

/// The first words of all lines.
fn ids(text: &str) -> BTreeSet<String> {
    let first = |line: &str| line.split(' ').next().map(str::to_owned);
    text.lines().filter_map(first).collect()
}

#[test]
fn nothing_else_is_there_however_the_objects_are_packed() {
    for options in [[].as_slice(), &["--object-format=sha256"]] {
        let beside = Beside::new(options);
        let stores = [0; 4].map(|_| test_store());
        let loose = beside.take(&stores[0], u64::MAX).unwrap();
        beside.assert_closed(&loose);
        // Deltas, some on bases that are not reached.
        beside
            .repo
            .git(&["repack", "-adfkq", "--depth=50", "--window=50"]);
        let packed = beside.take(&stores[1], u64::MAX).unwrap();
        beside.assert_closed(&packed);
        let again = beside.take(&stores[2], u64::MAX).unwrap();
        assert_eq!(packed.id(), again.id());
        // A pack of each, and with deltas by id instead of distance.
        beside.repo.write("new", "new\n");
        beside.repo.commit("in a second pack");
        beside
            .repo
            .git(&["-c", "repack.useDeltaBaseOffset=false", "repack", "-dfq"]);
        beside.repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
        let several = beside.take(&stores[3], u64::MAX).unwrap();
        beside.assert_closed(&several);
    }
}

#[test]
fn it_is_made_once_and_no_other_snapshot_stands_for_it() {
    let beside = Beside::new(&[]);
    let store = test_store();
    let first = beside.take(&store, u64::MAX).unwrap();
    assert_eq!(beside.take(&store, 0).unwrap().id(), first.id());
    let whole = store.take(&beside.repo, beside.main);
    let find = |id, commit| {
        let found = store
            .store
            .find_reachable(&beside.repo.open(), (id, commit), &store.cache);
        found.unwrap().is_some()
    };
    assert!(find(first.id(), beside.main));
    assert!(!find(first.id(), beside.repo.id("old")));
    assert!(!find(whole.id(), beside.main));
}

#[test]
fn hidden_refs_are_not_shown_though_they_are_reached() {
    let beside = Beside::new(&[]);
    beside
        .repo
        .git(&["config", "transfer.hideRefs", "refs/heads/old"]);
    let snapshot = beside.take(&test_store(), u64::MAX).unwrap();
    let branches = &snapshot.refs().branches;
    assert_eq!(branches.len(), 1);
    assert_eq!(branches[0].name, "refs/heads/main");
}

#[test]
fn the_bounds_are_kept_and_nothing_is_left() {
    let beside = Beside::new(&[]);
    let store = test_store();
    let error = beside.take(&store, 100).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("--reachable"), "{error}");
    let memory = |_| Err(Error::new(Kind::Unsupported, "no memory"));
    let bounds = Bounds {
        memory: &memory,
        pack: u64::MAX,
    };
    let repository = beside.repo.open();
    let TestStore {
        store,
        cache,
        state,
    } = store;
    let refused = store.take_reachable(&repository, beside.main, &cache, &bounds);
    assert_eq!(refused.unwrap_err().to_string(), "no memory");
    assert_eq!(store.kept().unwrap(), 0);
    let home = fs::read_dir(state.path().join("snapshots.2"))
        .unwrap()
        .next();
    let left = fs::read_dir(home.unwrap().unwrap().path()).unwrap().count();
    assert_eq!(left, 1, "the directory of commits");
}

#[test]
fn a_shallow_history_ends_where_it_does() {
    let beside = Beside::new(&[]);
    let url = format!("file://{}", beside.repo.path().display());
    let clone = beside.repo.beside("shallow");
    let path = clone.to_str().unwrap();
    beside
        .repo
        .git(&["clone", "-q", "--depth=2", "--branch=main", &url, path]);
    let store = test_store();
    let memory = |_| Ok(());
    let bounds = Bounds {
        memory: &memory,
        pack: u64::MAX,
    };
    let opened = Repository::open(&clone).unwrap();
    let taken = store
        .store
        .take_reachable(&opened, beside.main, &store.cache, &bounds);
    let snapshot = taken.unwrap();
    let end = beside.repo.id("main~1");
    assert_eq!(snapshot.shallow().unwrap(), format!("{end}\n").as_bytes());
    fsck(&snapshot, beside.main);
}
