//! Packs and commit-graphs that git finds by an index of their own, judged by
//! git: it warns of one that does not fit.

use std::fs;

use tempfile::TempDir;

use super::{
    snapshot::{TestStore, test_store, written},
    *,
};
use crate::{git::Snapshot, support::git};

const MIDX: &str = "pack/multi-pack-index";

/// A bare repository with the files of a snapshot and the branch `main`.
fn shown(snapshot: &Snapshot, head: ObjectId) -> TempDir {
    let directory = written(snapshot);
    run(
        directory.path(),
        &["update-ref", "refs/heads/main", &head.to_string()],
        b"",
    );
    directory
}

/// Runs git there, which must say nothing on standard error.
fn quiet(directory: &TempDir, arguments: &[&str]) -> Vec<u8> {
    let output = git::run(git::command(directory.path()).args(arguments), b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{arguments:?}: {said}"
    );
    output.stdout
}

fn has(snapshot: &Snapshot, path: &str) -> bool {
    snapshot.files().iter().any(|file| file.path == path)
}

/// A clone with a commit of its own, and the other repository as its alternate.
fn shared_clone(repo: &TestRepo) -> (TestRepo, ObjectId) {
    let clone = TestRepo {
        directory: TempDir::new().unwrap(),
        name: "repo",
    };
    let (from, to) = (repo.path(), clone.path());
    let shared = [
        "clone",
        "-q",
        "--shared",
        from.to_str().unwrap(),
        to.to_str().unwrap(),
    ];
    run(clone.directory.path(), &shared, b"");
    clone.write("own", "own");
    let head = clone.commit("own");
    (clone, head)
}

/// Packs each object that is loose by itself.
fn pack_each(repo: &TestRepo) {
    let found = repo.git(&["rev-list", "--objects", "--all"]);
    for line in found.lines() {
        let id = line.split(' ').next().unwrap();
        let pack = ["pack-objects", "-q", ".git/objects/pack/pack"];
        run(&repo.path(), &pack, format!("{id}\n").as_bytes());
    }
    repo.git(&["prune-packed", "-q"]);
}

fn check(store: &TestStore, repo: &TestRepo, head: ObjectId, shows: bool) {
    let snapshot = store.take(repo, head);
    assert_eq!(has(&snapshot, MIDX), shows);
    let directory = shown(&snapshot, head);
    if shows {
        quiet(&directory, &["multi-pack-index", "verify", "--no-progress"]);
    }
    quiet(&directory, &["fsck", "--full", "--strict", "--no-progress"]);
    quiet(&directory, &["log", "-p"]);
    assert_eq!(list(snapshot.objects(), head), git_list(repo, head));
    let objects = repo.objects();
    assert_eq!(list(&objects, head), git_list(repo, head));
}

#[test]
fn many_packs_get_an_index_by_which_objects_are_found() {
    many_packs(&TestRepo::new());
    many_packs(&TestRepo::with(&["--object-format=sha256"]));
}

fn many_packs(repo: &TestRepo) {
    for file in 0..50 {
        repo.write(&format!("f{file}"), format!("content {file}\n"));
    }
    let head = repo.commit("many");
    pack_each(repo);
    let store = test_store();
    check(&store, repo, head, true);
    let again = test_store();
    let snapshot = again.take(repo, head);
    assert_eq!(
        snapshot.id(),
        store.take(repo, head).id(),
        "it is always the same"
    );
    drop(snapshot);
    // A new process maps the packs of the objects that it reads.
    let other = again.reopened();
    let snapshot = again.store.take(&repo.open(), head, &other.cache).unwrap();
    snapshot.objects().commit(head).unwrap();
    assert_eq!(other.cache.packs().len(), 1);
}

#[test]
fn an_index_of_the_repository_is_shown_where_it_fits() {
    let repo = TestRepo::new();
    let first = repo.fill();
    pack_each(&repo);
    check(&test_store(), &repo, first, false);
    repo.git(&["multi-pack-index", "write"]);
    check(&test_store(), &repo, first, true);
    repo.write("new", "new");
    let second = repo.commit("new");
    repo.git(&["repack", "-dq"]);
    check(&test_store(), &repo, second, true);
    // A pack that it names is gone; its object is in a later one too.
    let pack = |revisions: &[&str]| {
        let ids = revisions
            .iter()
            .map(|revision| format!("{}\n", repo.id(revision)));
        let arguments = ["pack-objects", "-q", ".git/objects/pack/pack"];
        let name = run(&repo.path(), &arguments, ids.collect::<String>().as_bytes());
        String::from_utf8(name).unwrap().trim().to_owned()
    };
    pack(&["HEAD:README", "HEAD:new"]);
    let alone = pack(&["HEAD:README"]);
    for extension in ["pack", "idx"] {
        let path = format!(".git/objects/pack/pack-{alone}.{extension}");
        fs::remove_file(repo.path().join(path)).unwrap();
    }
    let third = repo.commit("third");
    check(&test_store(), &repo, third, false);
}

#[test]
fn an_index_of_an_alternate_is_shown_where_it_fits() {
    let repo = TestRepo::new();
    repo.fill();
    pack_each(&repo);
    repo.git(&["multi-pack-index", "write"]);
    let (clone, head) = shared_clone(&repo);
    clone.git(&["repack", "-dlq"]);
    check(&test_store(), &clone, head, true);
}

#[test]
fn a_chain_of_commit_graphs_is_shown_when_it_is_complete() {
    let repo = TestRepo::new();
    repo.fill();
    repo.git(&["repack", "-adq"]);
    repo.git(&["commit-graph", "write", "--reachable", "--split"]);
    let (clone, head) = shared_clone(&repo);
    let chain = "info/commit-graphs/commit-graph-chain";
    // It has none of its own yet: that of the alternate is the one git uses.
    let checked = |graphs: usize| {
        let store = test_store();
        let snapshot = store.take(&clone, head);
        let files = snapshot.files().iter();
        let shown_graphs = files.filter(|file| file.path.ends_with(b".graph")).count();
        assert_eq!((shown_graphs, has(&snapshot, chain)), (graphs, graphs > 0));
        let directory = shown(&snapshot, head);
        quiet(&directory, &["log", "--oneline", "--graph"]);
        quiet(&directory, &["commit-graph", "verify", "--no-progress"]);
        quiet(&directory, &["fsck", "--full", "--strict", "--no-progress"]);
    };
    checked(1);
    let split = ["commit-graph", "write", "--reachable", "--split=no-merge"];
    clone.git(&split);
    checked(2);
    fs::remove_dir_all(repo.path().join(".git/objects/info/commit-graphs")).unwrap();
    checked(0);
}
