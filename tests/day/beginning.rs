//! What a day begins with: `.git` as `git clone` makes it.

use std::{fmt::Write as _, process::Command};

use crate::harness::{Fixture, HERMETIC, TestBlockd, Twin, Twins, program};

/// The configuration, the reflog, and what is in `.git`.
fn made(twin: &Twin<'_>) -> Command {
    // Garbage is collected when somebody asks for it, else a pack that is not
    // in the layer of changes would be copied there. Newer gits make no branches.
    // blockd.gitconfig has git ask what has changed.
    const SCRIPT: &str =
        "git config --local --list | grep -vE '^(gc|maintenance).auto=|=blockd.gitconfig$' | sort
        git log -g --format='%gd %gs %H'
        find .git -maxdepth 1 ! -name branches ! -name blockd.gitconfig -printf '%f %y %m\\n' | sort
        cat .git/HEAD .git/description
        git rev-parse --symbolic-full-name '@{upstream}' || true";
    let mut command = program("sh");
    command.args(["-c", SCRIPT]).current_dir(&twin.tree);
    command.envs(HERMETIC);
    command
}

#[test]
fn an_attached_tree_begins_as_a_clone_does() {
    let fixture = Fixture::get("day");
    let repo = fixture.repo("plain");
    let server = TestBlockd::serve(fixture.folder());
    let mut different = String::new();
    for revision in ["main", "feature", "v1.0", &repo.id("main~7")] {
        let found = Twins::of(&repo, revision, &server, &[]).differences_at_once(made);
        if !found.is_empty() {
            writeln!(different, "{revision}\n{found}").unwrap();
        }
    }
    assert_eq!(different, "");
}
