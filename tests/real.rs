//! Real repositories, where somebody has them: `make soak REPOS=FOLDER`.

use std::{env, fs, path::PathBuf};

use crate::harness::{Fixture, Mounted, TestBlockd, TestImage, TestRepo, Tree, run};

/// HEAD and this many commits spread over the history of each.
const COMMITS: usize = 20;

/// Those in the folder that REPOS names.
pub(crate) fn repositories() -> Vec<TestRepo> {
    let folder = env::var("REPOS").expect("REPOS: a folder of repositories");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.retain(|path| path.join("objects").is_dir() || path.join(".git").exists());
    paths.sort();
    assert!(!paths.is_empty(), "no repository in REPOS");
    paths.into_iter().map(TestRepo::at).collect()
}

/// HEAD first, then others at even distances.
fn some_commits(repo: &TestRepo) -> Vec<String> {
    let all = repo.git(&["rev-list", "HEAD"]);
    let all: Vec<_> = all.lines().collect();
    let step = (all.len() / COMMITS).max(1);
    all.into_iter().step_by(step).map(str::to_owned).collect()
}

#[test]
#[ignore = "minutes to hours: make soak REPOS=FOLDER"]
fn images_of_real_repositories() {
    let state = tempfile::tempdir().unwrap();
    for repo in repositories() {
        for (number, commit) in some_commits(&repo).iter().enumerate() {
            let options = if number == 0 { "" } else { ":history=none" };
            let spec = format!("{}@{commit}{options}", repo.path().display());
            eprintln!("{spec}");
            let image = TestImage::of(&spec, state.path());
            image.assert_clean();
            let checkout = Tree::of_folder(repo.checkout(commit).path());
            Tree::of_image(image.path()).assert_same_as(&checkout, &spec);
            if number == 0 {
                let dump = image.dump();
                Tree::of_folder(dump.path()).assert_same_as(&checkout, &spec);
            }
        }
    }
}

#[test]
#[ignore = "minutes to hours: make soak REPOS=FOLDER"]
fn work_trees_of_real_repositories() {
    for repo in repositories() {
        let server = TestBlockd::serve(repo.folder());
        for (number, commit) in some_commits(&repo).iter().enumerate() {
            let name = format!("{}@{commit}", repo.name());
            eprintln!("{name}");
            let mounted = Mounted::attach(&server.uri(&name));
            mounted.assert_clean();
            let checkout = Tree::of_folder(repo.checkout(commit).path());
            Tree::of_folder(&mounted.path()).assert_same_as(&checkout, &name);
            // The packs are the same for all: their bytes are hashed once.
            let how = if number == 0 {
                "--full"
            } else {
                "--connectivity-only"
            };
            run(&mut mounted.git(&["fsck", "--no-progress", how]));
            mounted.detach();
        }
    }
}

#[test]
fn commits_are_spread_and_head_is_among_them() {
    let repo = Fixture::get("history").repo("history");
    let some = some_commits(&repo);
    assert_eq!(some[0], repo.id("HEAD"));
    assert_eq!(some.len(), COMMITS);
}
