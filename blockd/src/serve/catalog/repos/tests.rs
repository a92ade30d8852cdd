use std::os::unix::fs::symlink;

use super::*;

fn repository(path: &Path) {
    fs::create_dir_all(path.join("objects")).unwrap();
    fs::write(path.join("HEAD"), "ref: refs/heads/main\n").unwrap();
}

fn beside(allow: &[PathBuf]) -> Access {
    Access {
        allow: Some(allow.to_vec()),
        show_hidden: false,
    }
}

#[test]
fn repositories_are_found_below_the_root() {
    let dir = tempfile::tempdir().unwrap();
    repository(&dir.path().join("a.git"));
    repository(&dir.path().join("team/b/.git"));
    let repos = Repos::new(dir.path(), &beside(&[])).unwrap();
    assert_eq!(repos.list(&Permissions::All), ["a", "team/b"]);
    assert!(
        repos
            .find("a", &Permissions::All)
            .unwrap()
            .1
            .ends_with("a.git")
    );
    assert!(
        repos
            .find("team/b", &Permissions::All)
            .unwrap()
            .1
            .ends_with("team/b")
    );
    for name in ["team//b", "team/./b", "team/b/", "team/b/."] {
        assert_eq!(
            repos.find(name, &Permissions::All),
            repos.find("team/b", &Permissions::All),
            "{name}"
        );
    }
    assert!(
        repos
            .find("", &Permissions::All)
            .unwrap_err()
            .contains("several")
    );
}

#[test]
fn a_root_that_is_a_repository_is_the_only_one() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("one.git");
    repository(&root);
    let repos = Repos::new(&root, &beside(&[])).unwrap();
    assert_eq!(repos.find("", &Permissions::All).unwrap().0, "one");
    assert_eq!(repos.find("one", &Permissions::All).unwrap().0, "one");
    assert!(repos.find("two", &Permissions::All).is_err());
}

#[test]
fn nothing_outside_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    repository(&dir.path().join("secret"));
    repository(&root.join("own"));
    symlink(dir.path().join("secret"), root.join("link")).unwrap();
    let repos = Repos::new(&root, &beside(&[])).unwrap();
    for name in [
        "../secret",
        "/etc",
        "own/../../secret",
        "link",
        "own\0",
        ".",
    ] {
        assert!(repos.find(name, &Permissions::All).is_err(), "{name}");
    }
}

#[test]
fn a_link_that_leads_out_is_followed_where_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let (root, pool) = (dir.path().join("root"), dir.path().join("pool"));
    repository(&pool.join("a"));
    repository(&root.join("own"));
    symlink(pool.join("a"), root.join("link")).unwrap();
    let repos = |allow: &[PathBuf]| Repos::new(&root, &beside(allow)).unwrap();
    assert!(
        repos(&[])
            .find("link", &Permissions::All)
            .unwrap_err()
            .contains("--allow")
    );
    assert!(repos(&[pool]).find("link", &Permissions::All).is_ok());
}

#[test]
fn what_lies_in_a_repository_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    repository(&root.join("app/.git"));
    for inside in ["app/x", "app/deep/er/y.git", "app/.git/modules/z"] {
        repository(&root.join(inside));
    }
    repository(&root.join("bare.git"));
    repository(&root.join("bare.git/x"));
    symlink("app/x", root.join("link")).unwrap();
    let repos = Repos::new(root, &beside(&[])).unwrap();
    assert_eq!(repos.list(&Permissions::All), ["app", "bare"]);
    for name in [
        "app/x",
        "app/deep/er/y",
        "app/.git/modules/z",
        "bare.git/x",
        "link",
    ] {
        assert!(repos.find(name, &Permissions::All).is_err(), "{name}");
    }
}

#[test]
fn a_repository_has_one_name() {
    let dir = tempfile::tempdir().unwrap();
    repository(&dir.path().join("team/b.git"));
    let repos = Repos::new(dir.path(), &beside(&[])).unwrap();
    for name in ["team//b", "team/./b.git/", "team/b/", "team/b.git"] {
        assert_eq!(repos.find(name, &Permissions::All).unwrap().0, "team/b");
    }
}
