//! One tree of one commit, and a few edits in it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tempfile::TempDir;

use super::way::{Way, keeping_its_time};
use crate::harness::{Mounted, TestBlockd, TestRepo, git, run, stdout};

/// Of each round, in bursts.
pub(super) const EDITS: u64 = 20;
const BURST: u64 = 5;
/// The first of all rounds; the moments are those of the clock.
const SEED: u64 = 11;
/// What a commit's date is after the moment in which it is made: most of them
/// near the attach, which takes part of a second.
const DATES: [i64; 10] = [-400_000_000, -2, -1, 0, 0, 1, 1, 2, 3, 100_000];

/// What was done, and what git said.
pub(super) type Unseen = String;

pub(super) struct Round<'a> {
    name: String,
    repo: &'a TestRepo,
    random: StdRng,
    /// The date of the commit.
    date: Duration,
    commit: String,
    /// Edited since the last commit; and ever.
    edited: BTreeSet<String>,
    touched: BTreeSet<String>,
}

/// A clone is the measure of what git sees.
enum Tree {
    Attached(Mounted),
    Cloned(TempDir),
}

impl<'a> Round<'a> {
    pub(super) fn new(number: u64, repo: &'a TestRepo) -> Self {
        let mut random = StdRng::seed_from_u64(SEED + number);
        let after = *DATES.choose(&mut random).expect("there are some");
        let date = now()
            .as_secs()
            .checked_add_signed(after)
            .expect("after 1970");
        let mut commit = git(repo.path());
        let stamp = format!("{date} +0000");
        commit
            .env("GIT_COMMITTER_DATE", stamp)
            .args(["commit-tree", "main^{tree}", "-m"]);
        Self {
            name: format!("round {number}, a commit of now{after:+} s"),
            commit: stdout(commit.arg(number.to_string())),
            repo,
            random,
            date: Duration::from_secs(date),
            edited: BTreeSet::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Attaches, and edits again and again.
    pub(super) fn play(mut self, server: &TestBlockd) -> Result<(), Unseen> {
        let uri = server.uri(&format!("{}@{}", self.repo.name(), self.commit));
        let tree = match self.random.random_range(0..10) {
            0 => Tree::Cloned(self.clone()),
            1..4 => Tree::Attached(Mounted::attach_with(&uri, &["--cow", "block"])),
            _ => Tree::Attached(Mounted::attach(&uri)),
        };
        let kind = match &tree {
            Tree::Cloned(_) => "cloned",
            Tree::Attached(_) => "attached",
        };
        self.name = format!("{}, {kind}", self.name);
        let top = tree.path();
        for _ in 0..EDITS / BURST {
            self.await_a_moment();
            for _ in 0..BURST {
                self.edit(&top)?;
            }
            if self.random.random_bool(0.3) {
                self.commit_all(&top)?;
            }
            if self.random.random_bool(0.2) {
                tree.attach_again(&uri);
                self.assert_seen(&top, "an attach of what was edited")?;
            }
        }
        self.commit_all(&top)
    }

    fn clone(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        run(git(folder.path())
            .args(["clone", "-q", "--shared", "--no-checkout"])
            .arg(self.repo.path())
            .arg("."));
        run(git(folder.path()).args(["checkout", "-q", "--detach", &self.commit]));
        folder
    }

    /// At once, about the next second's beginning, or within the commit's second.
    fn await_a_moment(&mut self) {
        let until = match self.random.random_range(0..3) {
            0 => return,
            1 => {
                Duration::from_secs(now().as_secs())
                    + Duration::from_millis(980)
                    + self.milliseconds(40)
            }
            _ => self.date + self.milliseconds(1000),
        };
        let time = until.saturating_sub(now());
        // A date far off is not waited for.
        if time < Duration::from_secs(4) {
            thread::sleep(time);
        }
    }

    fn milliseconds(&mut self, below: u64) -> Duration {
        Duration::from_millis(self.random.random_range(0..below))
    }

    fn edit(&mut self, top: &Path) -> Result<(), Unseen> {
        let size = *[1, 17, 600, 4095, 4096, 4097, 20_000, 131_072]
            .choose(&mut self.random)
            .expect("there are some");
        let name = format!("of{size}/file{}", self.random.random_range(0..8));
        if self.edited.contains(&name) {
            // Its byte could become what it was.
            return Ok(());
        }
        let (path, way) = (top.join(&name), Way::any(&mut self.random));
        // Twice in one second goes unseen in a clone, too.
        let is_kept = !self.touched.contains(&name) && self.random.random_bool(0.3);
        let random = &mut self.random;
        if is_kept {
            keeping_its_time(&path, || way.edit(&path, random));
        } else {
            way.edit(&path, random);
        }
        let after = now().as_secs_f64() - self.date.as_secs_f64();
        let what = format!("{name} {way:?}, its time kept: {is_kept}, {after:.3} s after the date");
        self.touched.insert(name.clone());
        self.edited.insert(name);
        self.assert_seen(top, &what)
    }

    /// `git status` names the edited files and no others.
    fn assert_seen(&mut self, top: &Path, what: &str) -> Result<(), Unseen> {
        // Half of them write what they have found into the index.
        let locks = if self.random.random_bool(0.5) {
            "1"
        } else {
            "0"
        };
        let mut status = git(top);
        status.env("GIT_OPTIONAL_LOCKS", locks);
        let said = run(status.args(["status", "--porcelain"])).stdout;
        let lines = self.edited.iter().map(|name| format!(" M {name}\n"));
        let expected = lines.collect::<Vec<_>>().concat();
        if said == expected.as_bytes() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        Err(format!(
            "{}: {what}: git status says\n{said}for\n{expected}",
            self.name
        ))
    }

    /// `git commit -a` takes all edits; the judge is an index that knows no file.
    fn commit_all(&mut self, top: &Path) -> Result<(), Unseen> {
        if self.edited.is_empty() {
            return Ok(());
        }
        run(git(top).args(["commit", "-q", "-a", "-m", "edits"]));
        self.edited.clear();
        self.assert_seen(top, "after git commit -a")?;
        let index = tempfile::tempdir().unwrap();
        let with_index = |arguments: &[&str]| {
            let mut command = git(top);
            command.env("GIT_INDEX_FILE", index.path().join("index"));
            stdout(command.args(arguments))
        };
        with_index(&["read-tree", "HEAD"]);
        let left = with_index(&["diff", "--name-only"]);
        if left.is_empty() {
            return Ok(());
        }
        Err(format!("{}: git commit -a left out\n{left}\n", self.name))
    }
}

impl Tree {
    fn path(&self) -> PathBuf {
        match self {
            Self::Attached(mounted) => mounted.path(),
            Self::Cloned(folder) => folder.path().to_owned(),
        }
    }

    /// What is cloned stays where it is.
    fn attach_again(&self, uri: &str) {
        if let Self::Attached(mounted) = self {
            mounted.detach();
            mounted.attach_again(uri);
        }
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
}
