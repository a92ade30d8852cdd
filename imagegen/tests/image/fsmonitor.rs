//! The index for a `core.fsmonitor`, judged by a git whose hook says that nothing
//! has changed.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use imagegen::image::Options;

use crate::{
    harness::{Files, TestRepo, file, link, mixed},
    index::many,
    support::git::command,
};

/// A hook that names nothing.
const HOOK: &str = "#!/bin/sh\nprintf 'blockd:1\\0'\n";

/// A `.gitignore` of every kind, in directories whose names sort as no tree does.
fn ignoring() -> Files {
    [
        file(".gitignore", "*.o\n"),
        file(
            ".gitattributes",
            "conv/.gitignore text=auto\ncrlf/* eol=crlf\n",
        ),
        file("a/.gitignore", ""),
        file("a/x", "x"),
        file("a-b/.gitignore", "!y\n"),
        file("a-b/c/y", "y"),
        file("a.d/z", "z"),
        file("conv/.gitignore", "*.x\n"),
        file("conv/in/w", "w"),
        file("crlf/.gitignore", "*.y\n*.z\n"),
        file("macro/.gitattributes", "*.txt binary\n.gitignore binary\n"),
        file("macro/.gitignore", "q\n"),
        file("ident/.gitattributes", ".git* ident\n"),
        file("ident/.gitignore", "# $Id$\n"),
        link("linked/.gitignore", 7),
        file("lf/.gitattributes", "* eol=lf\n"),
        file("lf/.gitignore", "r\n"),
        file("a\u{e4}/b", "b"),
    ]
    .concat()
}

/// A checkout whose index is that of the image.
struct Checkout {
    repo: TestRepo,
    index: Vec<u8>,
}

impl Checkout {
    fn of(format: &str, files: &Files) -> Self {
        let repo = TestRepo::with(format);
        let head = repo.import(files);
        let path = repo.path().canonicalize().unwrap();
        let options = Options {
            fsmonitor: true,
            worktree: path.to_str().unwrap().into(),
            ..Options::default()
        };
        let image = repo.open(head, &options).unwrap();
        let index = repo.dump(&image, "/.git/index");
        repo.git(&["reset", "-q", "--hard"]);
        fs::write(path.join(".git/index"), &index).unwrap();
        let exclude = repo.dump(&image, "/.git/info/exclude");
        fs::write(path.join(".git/info/exclude"), exclude).unwrap();
        let hook = repo.beside("hook");
        fs::write(&hook, HOOK).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        for (key, value) in [
            ("core.fsmonitor", hook.to_str().unwrap()),
            ("core.fsmonitorHookVersion", "2"),
            ("core.untrackedCache", "keep"),
            ("index.threads", "true"),
        ] {
            repo.git(&["config", key, value]);
        }
        Self { repo, index }
    }

    /// What `git status` says, and the figures of its walk over directories.
    fn status(&self, arguments: &[&str]) -> (String, Vec<String>) {
        let trace = self.repo.beside("trace");
        let mut git = command(&self.repo.path());
        git.args(arguments)
            .args(["status", "--porcelain"])
            .env("GIT_TRACE2_PERF", &trace);
        let output = git.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        (String::from_utf8(output.stdout).unwrap(), figures(&trace))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.repo.path().join(name)
    }
}

/// `opendir:…` and others of `read_directory`.
fn figures(trace: &Path) -> Vec<String> {
    let text = fs::read_to_string(trace).unwrap();
    fs::remove_file(trace).unwrap();
    let figures = text.lines().filter(|line| line.contains("read_directo"));
    figures
        .filter_map(|line| line.rsplit('|').next())
        .map(|figure| figure.trim().trim_start_matches('.').to_owned())
        .collect()
}

#[test]
fn the_first_status_reads_no_directory_and_writes_nothing() {
    for (format, all) in [
        ("sha1", vec![ignoring(), mixed(), many()]),
        ("sha256", vec![ignoring()]),
    ] {
        for files in all {
            let checkout = Checkout::of(format, &files);
            let (status, figures) = checkout.status(&[]);
            assert_eq!(status, "");
            let has = |figure: &str| figures.iter().any(|own| own == figure);
            assert!(has("opendir:0"), "{format}: {figures:?}");
            assert!(has("gitignore-invalidation:0"), "{format}: {figures:?}");
            let index = fs::read(checkout.path(".git/index")).unwrap();
            assert!(index == checkout.index, "{format}: it was written anew");
            checkout.repo.git(&["fsck", "--strict", "--cache"]);
        }
    }
}

/// It believes the hook and the index, and looks no further.
#[test]
fn git_takes_every_file_for_unchanged_until_the_hook_names_it() {
    let checkout = Checkout::of("sha1", &ignoring());
    fs::write(checkout.path("a/x"), "changed").unwrap();
    fs::write(checkout.path("a/new"), "new").unwrap();
    assert_eq!(checkout.status(&[]).0, "");
    let hook = format!("{HOOK}printf 'a/x\\0a/new\\0'\n");
    fs::write(checkout.repo.beside("hook"), hook).unwrap();
    assert_eq!(checkout.status(&[]).0, " M a/x\n?? a/new\n");
    let without = [
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.untrackedCache=false",
    ];
    assert_eq!(checkout.status(&without).0, " M a/x\n?? a/new\n");
}

/// What any other client gets has neither extension.
#[test]
fn an_image_without_the_option_has_neither_extension() {
    let (repo, head) = TestRepo::holding(&mixed());
    let image = repo.open(head, &Options::default()).unwrap();
    let index = repo.dump(&image, "/.git/index");
    let has = |name: &[u8]| index.windows(4).any(|bytes| bytes == name);
    assert!(has(b"TREE"));
    for name in [b"UNTR", b"FSMN", b"IEOT", b"EOIE"] {
        assert!(!has(name));
    }
    let config = repo.dump(&image, "/.git/config");
    assert!(config.starts_with(b"[core]"));
}
