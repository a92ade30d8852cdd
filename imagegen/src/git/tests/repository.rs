//! Opening repositories and resolving revisions.

use std::{cell::Cell, fs};

use super::*;
use crate::{
    error::{Error, Kind},
    git::Resolved,
};

#[test]
fn revisions_resolve_as_by_rev_parse() {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["tag", "-a", "-m", "annotated", "v1", "HEAD~1"]);
    repo.git(&["tag", "-a", "-m", "of a tag", "v2", "v1"]);
    repo.git(&["tag", "light"]);
    repo.git(&["branch", "topic/x", "HEAD~1"]);
    let opened = repo.open();
    let short = &head.to_string()[..7];
    for rev in [
        "HEAD", "@", "main", "v1", "v2", "light", "topic/x", "HEAD~1", "main^", "v2~0",
    ] {
        let expected = repo.id(&format!("{rev}^{{commit}}"));
        assert_eq!(opened.resolve(rev).unwrap().commit, expected, "{rev}");
    }
    for rev in [
        "refs/heads/main",
        "heads/main",
        &head.to_string(),
        short,
        "v1^0",
        "v1^{commit}",
    ] {
        let expected = repo.id(&format!("{rev}^{{commit}}"));
        assert_eq!(opened.resolve(rev).unwrap().commit, expected, "{rev}");
    }
}

#[test]
fn a_revision_that_is_the_name_of_a_branch_names_it() {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["branch", "topic/x"]);
    repo.git(&["tag", "v1"]);
    repo.git(&["tag", "both"]);
    repo.git(&["branch", "both"]);
    let opened = repo.open();
    let named = |rev: &str| {
        opened
            .resolve(rev)
            .unwrap()
            .head
            .map(|head| head.to_string())
    };
    for (rev, branch) in [
        ("HEAD", "main"),
        ("@", "main"),
        ("main", "main"),
        ("topic/x", "topic/x"),
        ("heads/topic/x", "topic/x"),
        ("refs/heads/topic/x", "topic/x"),
    ] {
        assert_eq!(named(rev).as_deref(), Some(branch), "{rev}");
    }
    let id = head.to_string();
    // As by git rev-parse, a tag comes before a branch of the same name.
    for rev in ["v1", "both", "main~0", "HEAD^{commit}", &id, &id[..8]] {
        assert_eq!(named(rev), None, "{rev}");
    }
    repo.git(&["checkout", "-q", "--detach"]);
    assert_eq!(named("HEAD"), None);
}

#[test]
fn the_branch_of_a_repository_without_commits_is_unborn() {
    let repo = TestRepo::new();
    let opened = repo.open();
    for rev in ["HEAD", "main"] {
        let Resolved { commit, head } = opened.resolve(rev).unwrap();
        assert!(commit.is_null(), "{rev}");
        assert_eq!(head.unwrap(), "main", "{rev}");
    }
    let error = opened.resolve("other").unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    let error = opened.resolve("HEAD~1").unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().ends_with("has no commits yet"), "{error}");
}

#[test]
fn a_revision_that_is_not_a_commit_is_an_error() {
    let repo = TestRepo::new();
    repo.fill();
    let opened = repo.open();
    for (rev, kind) in [
        ("nothing", Kind::NotFound),
        ("HEAD~9", Kind::NotFound),
        ("HEAD^{tree}", Kind::Invalid),
        ("main:README", Kind::Invalid),
        ("--all", Kind::Invalid),
        ("", Kind::Invalid),
        ("1234567890123456789012345678901234567890", Kind::NotFound),
        ("a..b", Kind::Invalid),
    ] {
        let error = opened.resolve(rev).unwrap_err();
        println!("{error}");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("repo"), "{error}");
    }
}

#[test]
fn an_ambiguous_short_id_names_its_candidates() {
    let repo = TestRepo::new();
    let commits = (0..1000)
        .map(|round| format!("commit refs/heads/main\ncommitter C <c> {round} +0000\ndata 0\n\n"));
    let import = commits.collect::<String>();
    run(&repo.path(), &["fast-import", "--quiet"], import.as_bytes());
    let ids = repo.git(&["rev-list", "main"]);
    let mut ids = ids.lines().collect::<Vec<_>>();
    ids.sort_unstable();
    let close = ids
        .windows(2)
        .find(|pair| pair[0][..4] == pair[1][..4])
        .unwrap();
    let (first, second) = (close[0], close[1]);
    let error = repo.open().resolve(&first[..4]).unwrap_err();
    println!("{error}");
    assert!(error.to_string().contains(&first[..7]), "{error}");
    assert!(error.to_string().contains(&second[..7]), "{error}");
}

#[test]
fn a_push_and_a_repack_after_opening_are_seen() {
    let repo = TestRepo::new();
    let first = repo.fill();
    let (opened, objects) = (repo.open(), repo.objects());
    assert_eq!(opened.resolve("main").unwrap().commit, first);
    list(&objects, first);
    repo.write("new", "new");
    let second = repo.commit("three");
    assert_eq!(opened.resolve("main").unwrap().commit, second);
    assert_eq!(list(&objects, second), git_list(&repo, second));
    repo.write("newer", "newer");
    let third = repo.commit("four");
    repo.git(&["gc", "-q", "--prune=now"]);
    assert_eq!(opened.resolve("main~1").unwrap().commit, second);
    assert_eq!(list(&objects, third), git_list(&repo, third));
    // Packs that are mapped remain readable, new ones are found.
    repo.git(&["repack", "-adfq", "--depth=1", "--window=1"]);
    assert_eq!(list(&repo.objects(), third), git_list(&repo, third));
    assert_eq!(list(&objects, third), git_list(&repo, third));
}

#[test]
fn bare_repositories_linked_work_trees_and_dot_git_are_opened() {
    let repo = TestRepo::new();
    let head = repo.fill();
    let linked = repo.beside("linked");
    repo.git(&[
        "worktree",
        "add",
        "-q",
        linked.to_str().unwrap(),
        "-b",
        "other",
    ]);
    let bare = repo.beside("bare.git");
    repo.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    for path in [repo.path(), repo.path().join(".git"), linked, bare] {
        let opened = Repository::open(&path).unwrap();
        assert_eq!(
            opened.resolve("HEAD").unwrap().commit,
            head,
            "{}",
            path.display()
        );
        let objects = opened.objects(&cache(1 << 20)).unwrap();
        assert_eq!(list(&objects, head), git_list(&repo, head));
    }
}

#[test]
fn a_sha256_repository_is_read() {
    let repo = TestRepo::with(&["--object-format=sha256"]);
    let head = repo.fill();
    let opened = repo.open();
    assert_eq!(opened.object_format(), gix::hash::Kind::Sha256);
    assert_eq!(opened.resolve("main").unwrap().commit, head);
    assert_eq!(list(&repo.objects(), head), git_list(&repo, head));
    repo.git(&["repack", "-adq"]);
    assert_eq!(list(&repo.objects(), head), git_list(&repo, head));
}

#[test]
fn what_cannot_be_read_is_unsupported() {
    for (extension, value, named) in [
        ("extensions.fromTheFuture", "1", "fromthefuture"),
        ("extensions.refStorage", "reftable", "reftable"),
    ] {
        let repo = TestRepo::new();
        repo.git(&["config", "core.repositoryFormatVersion", "1"]);
        repo.git(&["config", extension, value]);
        refused(&repo, named);
    }
}

#[test]
fn a_reftable_of_git_is_unsupported() {
    if is_git_older((2, 45)) {
        return;
    }
    refused(&TestRepo::with(&["--ref-format=reftable"]), "reftable");
}

/// Opening it must fail, and say so.
fn refused(repo: &TestRepo, named: &str) {
    let error = Repository::open(&repo.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(error.to_string().contains(named), "{error}");
}

#[test]
fn a_directory_without_a_repository_is_not_found() {
    let directory = TempDir::new().unwrap();
    for path in [
        directory.path().to_path_buf(),
        directory.path().join("missing"),
    ] {
        let error = Repository::open(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
    fs::write(directory.path().join("file"), "x").unwrap();
    assert!(Repository::open(&directory.path().join("file")).is_err());
}

#[test]
fn a_shallow_clone_is_read() {
    let repo = TestRepo::new();
    let head = repo.fill();
    let clone = repo.beside("shallow");
    let url = format!("file://{}", repo.path().display());
    repo.git(&["clone", "-q", "--depth=1", &url, clone.to_str().unwrap()]);
    let opened = Repository::open(&clone).unwrap();
    assert_eq!(opened.resolve("HEAD").unwrap().commit, head);
    let objects = opened.objects(&cache(1 << 20)).unwrap();
    assert_eq!(list(&objects, head), git_list(&repo, head));
    let error = opened.resolve("HEAD~1").unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
}

/// A repository of so many commits, whose messages are numbers.
fn long_history(commits: u32) -> TestRepo {
    let repo = TestRepo::new();
    let mut stream = String::new();
    for number in 0..commits {
        let when = 1_700_000_000 + number;
        let text = format!("number {number} of many\n");
        let committer = format!("committer C <c@example.org> {when} +0000");
        let head = format!("commit refs/heads/main\n{committer}\ndata {}\n", text.len());
        stream.push_str(&(head + &text));
    }
    run(&repo.path(), &["fast-import", "--quiet"], stream.as_bytes());
    repo
}

#[test]
fn long_walks_lead_where_rev_parse_leads_and_can_be_stopped() {
    let repo = long_history(3000);
    let opened = repo.open();
    for rev in [
        "main~2500",
        "main~1100^~1100",
        "main^{/number 77 of}",
        "main~1025^{/many}~2",
        "main^{/!-number 2999}",
    ] {
        let expected = repo.id(&format!("{rev}^{{commit}}"));
        let resolved = opened.resolve(rev).unwrap();
        assert_eq!((resolved.commit, resolved.head), (expected, None), "{rev}");
    }
    let asked = Cell::new(0);
    let twice = || {
        asked.set(asked.get() + 1);
        match asked.get() {
            3.. => Err(Error::new(Kind::Io, "enough")),
            _ => Ok(()),
        }
    };
    for rev in ["main~2500", "main^{/nobody wrote this}"] {
        asked.set(0);
        let stopped = opened.resolve_while(rev, &twice).unwrap_err();
        assert!(stopped.to_string().ends_with("enough"), "{stopped}");
        assert_eq!(asked.get(), 3, "{rev}");
    }
    let missing = opened.resolve("main~3000").unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    assert!(missing.to_string().contains("\"main~3000\""), "{missing}");
}
