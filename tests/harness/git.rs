//! Vanilla git, without the configuration and the clock of whoever runs it.

use std::{ffi::OsStr, path::Path, process::Command};

use rustix::{fs::Mode, process::umask};

/// What makes git the same for everybody, in scripts too.
pub(crate) const HERMETIC: [(&str, &str); 15] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_COUNT", "1"),
    ("GIT_CONFIG_KEY_0", "init.defaultBranch"),
    ("GIT_CONFIG_VALUE_0", "main"),
    ("GIT_AUTHOR_NAME", "A U Thor"),
    ("GIT_AUTHOR_EMAIL", "author@example.org"),
    ("GIT_AUTHOR_DATE", "1700000000 +0000"),
    ("GIT_COMMITTER_NAME", "C O Mitter"),
    ("GIT_COMMITTER_EMAIL", "committer@example.org"),
    ("GIT_COMMITTER_DATE", "1700000000 +0000"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_PAGER", "cat"),
    ("LC_ALL", "C"),
    ("TZ", "UTC"),
];

/// Set when the tests are called from a git hook, and wrong for every
/// repository but the hook's.
const INHERITED: [&str; 4] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
];

/// `git -C at`.
pub(crate) fn git(at: &Path) -> Command {
    let mut command = hermetic("git");
    command.arg("-C").arg(at);
    command
}

/// A program that calls git.
pub(crate) fn hermetic(program: impl AsRef<OsStr>) -> Command {
    // A checkout's modes are those of the umask.
    umask(Mode::from_raw_mode(0o022));
    let mut command = Command::new(program);
    command.envs(HERMETIC);
    for name in INHERITED {
        command.env_remove(name);
    }
    command
}
