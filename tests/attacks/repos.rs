//! A repository that people use, and some that strangers have pushed.

use std::{fmt::Write as _, io::Write as _, path::Path, process::Stdio};

use crate::harness::{git, hermetic, run};

/// Commits of `bomb`, each on a branch `bN`.
pub(super) const BOMBS: u64 = 16;

/// Writes `app`, `conv` of so many MiB, `bomb`, and `long` of so many commits.
pub(super) fn write(folder: &Path, megabytes: usize, commits: usize) {
    import(folder, "app", &commits_of("main", 1, |_| files(200)));
    let attributes = (
        "100644",
        ".gitattributes".into(),
        "large text eol=crlf\n".into(),
    );
    let large = ("100644", "large".into(), "\n".repeat(megabytes << 20));
    import(
        folder,
        "conv",
        &commits_of("main", 1, |_| vec![attributes.clone(), large.clone()]),
    );
    import(folder, "long", &commits_of("main", commits, |_| Vec::new()));
    bomb(folder);
}

type File = (&'static str, String, String);

fn files(count: usize) -> Vec<File> {
    let file = |number: usize| {
        let text = format!("{number}\n").repeat(1 + number * 20);
        ("100644", format!("d{}/{number}", number % 17), text)
    };
    (0..count).map(file).collect()
}

/// A stream for `git fast-import`.
fn commits_of(branch: &str, count: usize, files: impl Fn(usize) -> Vec<File>) -> String {
    let mut stream = String::new();
    for number in 0..count {
        let when = 1_700_000_000 + number;
        let head = format!("commit refs/heads/{branch}\ncommitter C <c@example.org> {when} +0000");
        writeln!(stream, "{head}\ndata 5\nwords").unwrap();
        for (mode, path, text) in files(number) {
            writeln!(
                stream,
                "M {mode} inline {path}\ndata {}\n{text}",
                text.len()
            )
            .unwrap();
        }
    }
    stream
}

fn import(folder: &Path, name: &str, stream: &str) {
    let path = folder.join(format!("{name}.git"));
    run(hermetic("git")
        .args(["init", "-q", "--bare", "-b", "main"])
        .arg(&path));
    feed(&path, &["fast-import", "--quiet"], stream);
}

/// What git prints that gets this.
fn feed(repo: &Path, arguments: &[&str], input: &str) -> String {
    let mut command = git(repo);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Trees of 16 times the same tree, five deep: a million directories in a few
/// objects.
fn bomb(folder: &Path) {
    import(folder, "bomb", "");
    let path = folder.join("bomb.git");
    for commit in 0..BOMBS {
        let blob = feed(
            &path,
            &["hash-object", "-w", "--stdin"],
            &commit.to_string(),
        );
        let mut tree = feed(&path, &["mktree"], &format!("100644 blob {blob}\tf\n"));
        for _ in 0..5 {
            let lines: Vec<_> = (0..16)
                .map(|number| format!("040000 tree {tree}\td{number:02}\n"))
                .collect();
            tree = feed(&path, &["mktree"], &lines.concat());
        }
        let id = feed(&path, &["commit-tree", "-m", "bomb", &tree], "");
        feed(
            &path,
            &["update-ref", &format!("refs/heads/b{commit}"), &id],
            "",
        );
    }
}
