//! git, which asks `blockd fsmonitor`, never takes for clean what is not: what it says
//! is compared with what it says when it looks at every file.

mod cases;

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    harness::{Fixture, HERMETIC, Mounted, TestBlockd, binary, hermetic, run, stdout},
    tools,
};

/// Not root, and not a user that the machine has.
const USER: u32 = 4321;

/// An attached tree whose owner can reach all that it takes: the program and the
/// state directory in a folder that everybody may enter.
pub(super) struct Tree {
    mounted: Mounted,
    user: u32,
    _server: TestBlockd,
    _program: TempDir,
}

impl Tree {
    /// `is_known`: the index says that it is mounted where it is.
    #[track_caller]
    fn of(user: u32, is_known: bool) -> Self {
        let server = TestBlockd::serve(Fixture::get("day").folder());
        let program = tempfile::tempdir().unwrap();
        open(program.path());
        let blockd = program.path().join("blockd");
        // Were it written by this process, one that another test starts could have it
        // open for writing while it is executed.
        run(Command::new("cp").arg(binary()).arg(&blockd));
        let mounted = Mounted::nowhere();
        open(mounted.path().parent().unwrap());
        let name = if is_known {
            format!("plain@main:worktree={}", mounted.path().display())
        } else {
            "plain@main".to_owned()
        };
        let uri = server.uri(&name);
        let attach = mounted.attach_command(&uri);
        let mut command = hermetic(&blockd);
        command.args(attach.get_args());
        let user_text = user.to_string();
        command.args(["--fsmonitor", "on"]);
        run(command.args(["--uid", &user_text, "--gid", &user_text]));
        Self {
            mounted,
            user,
            _server: server,
            _program: program,
        }
    }

    fn path(&self) -> PathBuf {
        self.mounted.path()
    }

    /// A program in the tree, by its owner.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let user = self.user.to_string();
        let mut command = hermetic("setpriv");
        command
            .args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"])
            .arg(program)
            .current_dir(self.path())
            .envs(HERMETIC)
            .env("HOME", "/nonexistent");
        command
    }

    fn git(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("git");
        command.args(arguments);
        command
    }

    /// What git says, and says of every file.
    #[track_caller]
    fn both(&self) -> [String; 2] {
        let looking = [
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.untrackedCache=false",
        ];
        let status = ["status", "--porcelain"];
        let mut look = self.git(&[&looking[..], &status].concat());
        look.env("GIT_OPTIONAL_LOCKS", "0");
        [stdout(&mut self.git(&status)), stdout(&mut look)]
    }

    #[track_caller]
    fn assert_status(&self, expected: &str) {
        let [asked, looked] = self.both();
        assert_eq!(asked, looked, "what git is told is not what it sees");
        assert_eq!(asked, expected);
    }
}

fn open(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[track_caller]
fn change(user: u32, seed: u64, changes: u64) {
    let tree = Tree::of(user, seed.is_multiple_of(2));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fsmonitor/changes.py");
    // The owner may not be allowed to read the sources.
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    let copy = folder.path().join("changes.py");
    fs::copy(script, &copy).unwrap();
    chown(&copy, Some(user), None).unwrap();
    let python = tools::python(user == 0);
    let said = stdout(
        tree.command(python)
            .arg(&copy)
            .args([seed.to_string(), changes.to_string()]),
    );
    println!("{said}");
    run(&mut tree.git(&["fsck", "--no-progress", "--connectivity-only"]));
}

#[test]
fn no_change_goes_unseen() {
    change(0, 1, 200);
}

#[test]
fn no_change_goes_unseen_by_a_user_without_privilege() {
    change(USER, 2, 100);
}

#[test]
#[ignore = "many minutes: make soak"]
fn no_change_of_thousands_goes_unseen() {
    for seed in 10..20 {
        change(if seed % 2 == 0 { 0 } else { USER }, seed, 500);
    }
}
