//! Who may open what: tokens, rules, and what nobody learns of the rest.

mod reloading;
mod rules;
mod tokens;

use std::{fs, path::PathBuf, process::Command, thread, time::Duration};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Fixture, TestBlockd, blockd, fails, git, program, run, stdout};

/// Three repositories, of which only `docs` is for everybody, and keys of tokens.
struct Guarded {
    folder: TempDir,
    commits: [String; 2],
}

impl Guarded {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Fixture::get("history").repo("history");
        for name in ["team/app", "team/other", "docs"] {
            let to = folder.path().join(format!("repos/{name}.git"));
            run(git(folder.path())
                .args(["clone", "--quiet", "--bare"])
                .arg(source.path())
                .arg(to));
        }
        let commits = ["main", "main~1"].map(|name| source.id(name));
        let guarded = Self { folder, commits };
        for key in ["one", "two"] {
            let mut make = program("openssl");
            make.args(["genpkey", "-algorithm", "ed25519", "-out"]);
            run(make.arg(guarded.key(key)));
        }
        guarded.write_access(&["one"], "");
        guarded
    }

    fn repos(&self) -> PathBuf {
        self.folder.path().join("repos")
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pem"))
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("access.toml")
    }

    /// Tokens of these keys are for team/*; docs is for everybody, without history.
    fn write_access(&self, keys: &[&str], more: &str) {
        let mut text =
            "version = 1\n[[rule]]\nrepositories = [\"docs\"]\nhistory = \"none\"\n".to_owned();
        for key in keys {
            let mut public = program("openssl");
            let public = stdout(public.args(["pkey", "-pubout", "-in"]).arg(self.key(key)));
            let repositories = "repositories = [\"team/*\"]";
            text += &["[[key]]\nid = \"", key, "\"\n", repositories].concat();
            text += &["\npublic_key = \"\"\"\n", &public, "\n\"\"\"\n"].concat();
        }
        fs::write(self.file(), text + more).unwrap();
    }

    fn serve(&self, more: &[&str]) -> TestBlockd {
        let file = self.file();
        let access = ["--access", file.to_str().unwrap()];
        TestBlockd::serve_with(&self.repos(), &[&access, more].concat())
    }

    fn token(&self, key: &str, repository: &str, more: &[&str]) -> String {
        let mut create = blockd();
        create.args(["token", "create", repository, "--expires", "1h", "--key"]);
        stdout(create.arg(self.key(key)).args(more))
    }

    /// A token with these claims, signed by openssl alone.
    fn signed_by_openssl(&self, key: &str, claims: &str) -> String {
        let script = r#"
            part() { basenc --base64url -w0 | tr -d =; }
            text=$(printf '{"typ":"JWT","alg":"EdDSA","kid":"%s"}' "$1" | part).$(printf %s "$2" | part)
            printf %s "$text" > "$3/text"
            signature=$(openssl pkeyutl -sign -rawin -inkey "$4" -in "$3/text" | part)
            printf %s "$text.$signature""#;
        let mut shell = program("bash");
        shell.args(["-euc", script, "sign", key, claims]);
        stdout(shell.arg(self.folder.path()).arg(self.key(key)))
    }
}

fn info(server: &TestBlockd, export: &str) -> Command {
    let mut nbdinfo = program("nbdinfo");
    nbdinfo.arg(server.uri(export));
    nbdinfo
}

/// What the server says to who asks for an export in vain; nbdinfo does not show it.
#[track_caller]
fn refusal(server: &TestBlockd, export: &str) -> String {
    let said = fails(program("qemu-img").arg("info").arg(server.uri(export)));
    let (_, reported) = said.split_once("server reported: ").expect("a reason");
    reported.trim_end().to_owned()
}

/// Sends SIGHUP, and waits until the log says what came of it.
#[track_caller]
fn hang_up(server: &TestBlockd, expected: &str) {
    let before = server.log().lines().count();
    server.signal(Signal::HUP);
    let outcomes = ["anew", "stays in force"];
    loop {
        let log = server.log();
        let mut new = log.lines().skip(before);
        if let Some(line) = new.find(|line| outcomes.iter().any(|each| line.contains(each))) {
            return assert!(line.contains(expected), "{line}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}
