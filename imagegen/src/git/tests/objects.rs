//! Reading commits, trees and blobs, however they are stored.

use std::{fmt::Write as _, fs, panic, thread};

use super::*;
use crate::error::Kind;

#[test]
fn trees_are_the_same_loose_packed_and_in_many_packs() {
    let repo = TestRepo::new();
    let head = repo.fill();
    let expected = git_list(&repo, head);
    assert_eq!(list(&repo.objects(), head), expected, "loose");
    repo.git(&["repack", "-adq"]);
    assert_eq!(list(&repo.objects(), head), expected, "packed");
    for round in 0..5 {
        repo.write("src/main.c", format!("int round = {round};\n").repeat(200));
        repo.commit("more");
        repo.git(&["repack", "-dq"]);
    }
    repo.git(&["multi-pack-index", "write"]);
    let head = repo.id("HEAD");
    assert_eq!(
        list(&repo.objects(), head),
        git_list(&repo, head),
        "many packs, one index"
    );
    assert_eq!(
        list(&repo.objects(), head),
        git_list(&repo, head),
        "many packs, one index"
    );
}

#[test]
fn alternates_are_followed() {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["repack", "-adq"]);
    let (one, two) = (repo.beside("one"), repo.beside("two"));
    repo.git(&["clone", "-q", "--shared", ".", one.to_str().unwrap()]);
    run(
        &one,
        &["clone", "-q", "--shared", ".", two.to_str().unwrap()],
        b"",
    );
    fs::write(
        two.join(".git/objects/info/alternates"),
        "# relative, and gone\n../../../one/.git/objects\n/nowhere/at/all\n",
    )
    .unwrap();
    let objects = Repository::open(&two)
        .unwrap()
        .objects(&cache(1 << 20))
        .unwrap();
    assert_eq!(list(&objects, head), git_list(&repo, head));
}

#[test]
fn a_commit_has_its_date_and_tree() {
    let repo = TestRepo::new();
    let head = repo.fill();
    let commit = repo.objects().commit(head).unwrap();
    assert_eq!((commit.id, commit.seconds), (head, 1_700_000_100));
    assert_eq!(commit.tree, repo.id("HEAD^{tree}"));
    let error = repo.objects().commit(commit.tree).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}

#[test]
fn a_subtree_is_found_by_path() {
    let repo = TestRepo::new();
    repo.fill();
    let (objects, root) = (repo.objects(), repo.id("HEAD^{tree}"));
    let at = |path: &str| objects.tree_at(root, path.into());
    assert_eq!(at("").unwrap(), root);
    assert_eq!(at("src/deep").unwrap(), repo.id("HEAD:src/deep"));
    assert_eq!(at("/src//deep/").unwrap(), repo.id("HEAD:src/deep"));
    for path in ["src/shallow", "README", "link/x", "sub", "src/../src"] {
        let error = at(path).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn a_missing_object_is_named_with_its_repository() {
    let repo = TestRepo::new();
    repo.fill();
    let hex = repo.id("HEAD:README");
    fs::remove_file(repo.loose(&hex)).unwrap();
    let error = repo.objects().tree(repo.id("HEAD^{tree}")).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let expected = format!(
        "README: object {hex} is missing in repository {}",
        repo.path().display()
    );
    assert_eq!(error.to_string(), expected);
    let wide = ObjectId::null(gix::hash::Kind::Sha256);
    assert_eq!(
        repo.objects().commit(wide).unwrap_err().kind(),
        Kind::NotFound
    );
}

#[test]
fn a_missing_object_of_a_partial_clone_is_explained() {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    let clone = repo.beside("partial.git");
    let url = format!("file://{}", repo.path().display());
    repo.git(&[
        "clone",
        "-q",
        "--bare",
        "--filter=blob:none",
        &url,
        clone.to_str().unwrap(),
    ]);
    let opened = Repository::open(&clone).unwrap();
    let objects = opened.objects(&cache(1 << 20)).unwrap();
    let error = objects
        .tree(objects.commit(head).unwrap().tree)
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    let message = error.to_string();
    assert!(
        message.contains("partial clone; `git fetch --refetch --no-filter`"),
        "{message}"
    );
    // The command in the message helps, without opening the objects again.
    run(&clone, &["fetch", "-q", "--refetch", "--no-filter"], b"");
    assert_eq!(list(&objects, head), git_list(&repo, head));
}

#[test]
fn prefetched_trees_are_cached() {
    let repo = TestRepo::new();
    let head = repo.fill();
    let cache = cache(16 << 20);
    let objects = repo.open().objects(&cache).unwrap();
    let root = objects.commit(head).unwrap().tree;
    objects.prefetch_trees(root);
    let used = cache.used();
    assert!(used > 0);
    fs::remove_dir_all(repo.path().join(".git/objects")).unwrap();
    let mut text = String::new();
    let paths = objects.tree(root).unwrap();
    for entry in paths
        .iter()
        .filter(|entry| entry.mode == EntryMode::Directory)
    {
        write!(text, "{:?}", objects.tree(entry.id.to_owned()).unwrap()).unwrap();
    }
    assert!(text.contains("size: 3000"), "{text}");
    objects.prefetch_trees(ObjectId::null(gix::hash::Kind::Sha1));
}

#[test]
fn a_blob_is_cached_and_shared() {
    let repo = TestRepo::new();
    repo.fill();
    let cache = cache(64 << 20);
    let objects = repo.open().objects(&cache).unwrap();
    let id = repo.id("HEAD:README");
    assert!(objects.blob_cached(&id).is_none());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(read_all(&objects, &id, 8), b"read me\n"));
        }
    });
    assert_eq!(cache.inflated(), 8);
    let blob = objects.blob_cached(&id).unwrap();
    let mut word = [0; 4];
    blob.read_at(0, &mut word).unwrap();
    assert_eq!(&word, b"read");
    assert_eq!(
        blob.read_at(5, &mut word).unwrap_err().kind(),
        Kind::Invalid
    );
    assert_eq!(
        blob.read_at(u64::MAX, &mut word).unwrap_err().kind(),
        Kind::Invalid
    );
    let error = objects.blob(&id, 9).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}

#[test]
fn a_failure_is_not_cached() {
    let repo = TestRepo::new();
    repo.fill();
    let (objects, id) = (repo.objects(), repo.id("HEAD:README"));
    let path = repo.loose(&id);
    let away = repo.beside("away");
    fs::rename(&path, &away).unwrap();
    assert_eq!(objects.blob(&id, 8).unwrap_err().kind(), Kind::NotFound);
    fs::rename(&away, &path).unwrap();
    assert_eq!(read_all(&objects, &id, 8), b"read me\n");
}

#[test]
fn the_cache_is_bounded() {
    let repo = TestRepo::new();
    for file in 0..40_u64 {
        repo.write(&format!("f{file}"), noise(100_000, file));
    }
    let head = repo.commit("noise");
    repo.git(&["repack", "-adq"]);
    let cache = cache(1 << 20);
    let objects = repo.open().objects(&cache).unwrap();
    assert_eq!(list(&objects, head), git_list(&repo, head));
    assert!(
        cache.used() > 500_000 && cache.used() <= 1 << 20,
        "{}",
        cache.used()
    );
}

#[test]
fn a_listing_is_compact_and_its_sizes_can_be_replaced() {
    let repo = TestRepo::new();
    for file in 0..500 {
        repo.write(&format!("name-of-file-{file:04}.c"), format!("{file}"));
    }
    repo.commit("many");
    let listing = repo.objects().tree(repo.id("HEAD^{tree}")).unwrap();
    assert_eq!(listing.len(), 500);
    assert!(
        listing.heap_bytes() / listing.len() <= 70,
        "{}",
        listing.heap_bytes()
    );
    let changed = listing.with_sizes([(1, 99), (499, 7)].into_iter());
    assert_eq!(changed.entry(1).size, 99);
    assert_eq!(changed.entry(499).size, 7);
    assert_eq!(changed.entry(0), listing.entry(0));
    assert_eq!(changed.entry(1).name, b"name-of-file-0001.c");
    assert!(!listing.is_empty());
    let past_the_end = || listing.with_sizes([(500, 1)].into_iter());
    assert!(panic::catch_unwind(past_the_end).is_err());
}

#[test]
fn damage_to_one_repository_does_not_affect_another() {
    let (bad, good) = (TestRepo::new(), TestRepo::new());
    let content = b"read me\n";
    let id = good.hash_object("blob", content);
    let tree = good.hash_object("tree", &[b"100644 README\0", id.as_bytes()].concat());
    bad.hash_object("tree", &[b"100644 README\0", id.as_bytes()].concat());
    let path = bad.loose(&id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, spool::stored(b"blob 4096\0whatever")).unwrap();
    let cache = cache(16 << 20);
    let (bad, good) = (
        bad.open().objects(&cache).unwrap(),
        good.open().objects(&cache).unwrap(),
    );
    assert_eq!(bad.tree(tree).unwrap().entry(0).size, 4096);
    assert_eq!(good.tree(tree).unwrap().entry(0).size, 8);
    assert_eq!(bad.blob(&id, 4096).unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(read_all(&good, &id, 8), content);
}

#[test]
fn all_types_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<(Repository, Objects, Cache, crate::git::Listing)>();
    shared::<(
        crate::git::Snapshot,
        crate::git::SnapshotStore,
        crate::git::Blob,
    )>();
}
