//! What works on git trees without git, or on what git wrote: each does in an
//! attached tree what it does in a clone.

mod gix;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::harness::{DISTRO_PYTHON, Fixture, TestBlockd, Twin, Twins, hermetic, requires, stdout};

/// Where `tools/setup.sh` has put what it fetches.
fn fetched() -> &'static Path {
    static FETCHED: OnceLock<PathBuf> = OnceLock::new();
    FETCHED.get_or_init(|| stdout(Command::new("bash").arg(script("setup.sh"))).into())
}

/// An interpreter, of Debian, or the one that `setup.sh` fetches libraries for.
pub(crate) fn python(with_libraries: bool) -> PathBuf {
    if with_libraries {
        fetched().join("python/bin/python")
    } else {
        DISTRO_PYTHON.into()
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tools")
        .join(name)
}

fn twins() -> (TestBlockd, Twins) {
    let fixture = Fixture::get("tools");
    let server = TestBlockd::serve(fixture.folder());
    let twins = Twins::of(&fixture.repo("tools"), "main", &server, &[]);
    (server, twins)
}

/// The interpreter of a script is that of its ending.
fn command(name: &str, twin: &Twin<'_>) -> Command {
    let mut command = match name.rsplit('.').next() {
        Some("py") => hermetic(fetched().join("python/bin/python")),
        Some("mjs") => hermetic("node"),
        _ => hermetic("bash"),
    };
    // Through sudo, rustup's own cargo knows no toolchain.
    let toolchain = Path::new(env!("CARGO")).parent().unwrap();
    let path = env::var("PATH").unwrap();
    command
        .arg(script(name))
        .current_dir(&twin.tree)
        .env("PATH", format!("{}:{path}", toolchain.display()))
        .env("TOOLS", fetched())
        .env("SCRATCH", twin.scratch);
    command
}

#[track_caller]
fn judge(name: &str) {
    let (_server, twins) = twins();
    twins.assert_same(name, |twin| command(name, twin));
}

#[test]
fn gitpython() {
    judge("gitpython.py");
}

#[test]
fn pygit2() {
    judge("pygit2_script.py");
}

#[test]
fn dulwich() {
    judge("dulwich_script.py");
}

#[test]
fn isomorphic_git() {
    judge("isomorphic.mjs");
}

#[test]
fn jgit() {
    requires("java");
    judge("jgit.sh");
}

#[test]
fn pre_commit() {
    judge("pre-commit.sh");
}

#[test]
fn lefthook() {
    judge("lefthook.sh");
}

#[test]
fn git_lfs() {
    judge("lfs.sh");
}

#[test]
fn cargo() {
    judge("cargo.sh");
}

#[test]
fn make() {
    judge("make.sh");
}

#[test]
fn npm() {
    judge("npm.sh");
}
