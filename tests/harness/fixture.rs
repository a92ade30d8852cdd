//! Repositories made by `fixtures/*.sh`, once for as long as the script stays
//! the same.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use rustix::process::getuid;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{
    command::{run, stdout},
    git::{git, hermetic},
    image::hex,
};

/// A folder of repositories that no test changes: what `--repos` gets.
#[derive(Clone)]
pub(crate) struct Fixture {
    folder: PathBuf,
}

impl Fixture {
    /// The folder that `fixtures/NAME.sh` makes.
    pub(crate) fn get(name: &str) -> Self {
        static MADE: OnceLock<Mutex<HashMap<String, Arc<OnceLock<PathBuf>>>>> = OnceLock::new();
        let made = MADE.get_or_init(Mutex::default);
        let cell = Arc::clone(made.lock().unwrap().entry(name.to_owned()).or_default());
        Self {
            folder: cell.get_or_init(|| made_by_script(name)).clone(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The repository `NAME.git`, or `NAME` where it is a checkout.
    pub(crate) fn repo(&self, name: &str) -> TestRepo {
        let bare = self.folder.join(format!("{name}.git"));
        let path = if bare.exists() {
            bare
        } else {
            self.folder.join(name)
        };
        assert!(
            path.exists(),
            "no repository {name} in {}",
            self.folder.display()
        );
        TestRepo {
            path,
            _folder: None,
        }
    }
}

/// One repository of a fixture, or a copy that a test may change.
pub(crate) struct TestRepo {
    path: PathBuf,
    _folder: Option<TempDir>,
}

impl TestRepo {
    /// A repository that somebody has.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            path,
            _folder: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder it lies in: what `--repos` gets.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap()
    }

    /// The name of its export.
    pub(crate) fn name(&self) -> &str {
        self.path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".git")
    }

    /// The same repository in a folder of its own.
    pub(crate) fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(hermetic("cp").arg("-a").arg(&self.path).arg(folder.path()));
        let path = folder.path().join(self.path.file_name().unwrap());
        Self {
            path,
            _folder: Some(folder),
        }
    }

    /// What git says about it.
    #[track_caller]
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        stdout(git(&self.path).args(arguments))
    }

    #[track_caller]
    pub(crate) fn id(&self, revision: &str) -> String {
        self.git(&["rev-parse", revision])
    }

    /// The full ids of all commits of all branches, the newest first.
    pub(crate) fn commits(&self) -> Vec<String> {
        self.git(&["rev-list", "--branches"])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// What `git checkout` writes for this commit. The index lies elsewhere, so
    /// that the repository stays as it is.
    pub(crate) fn checkout(&self, revision: &str) -> TempDir {
        let (folder, index) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut read_tree = git(folder.path());
        read_tree.env("GIT_DIR", self.git(&["rev-parse", "--absolute-git-dir"]));
        read_tree.env("GIT_WORK_TREE", folder.path());
        read_tree.env("GIT_INDEX_FILE", index.path().join("index"));
        run(read_tree.args(["read-tree", "--reset", "-u", revision]));
        folder
    }
}

fn made_by_script(name: &str) -> PathBuf {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let script = scripts.join(format!("{name}.sh"));
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    fs::create_dir_all(&cache).unwrap();
    // Another person's repository is none to git, so each has their own.
    let key = format!("{name}-{}-{}", getuid().as_raw(), fingerprint(&scripts));
    let made = cache.join(key);
    if !made.exists() {
        let part = tempfile::tempdir_in(&cache).unwrap();
        run(hermetic("bash").arg(&script).arg(part.path().join("made")));
        if let Err(error) = fs::rename(part.path().join("made"), &made) {
            assert!(made.exists(), "{}: {error}", made.display());
        }
        fix_paths(&made, &part.path().join("made"));
    }
    made
}

/// Some of git's files hold absolute paths: linked work trees, alternates.
fn fix_paths(made: &Path, was: &Path) {
    let (was, made_text) = (was.to_str().unwrap(), made.to_str().unwrap());
    let list = hermetic("grep")
        .args(["-rlIF", was])
        .arg(made)
        .output()
        .unwrap();
    for file in String::from_utf8(list.stdout).unwrap().lines() {
        let text = fs::read_to_string(file).unwrap();
        fs::write(file, text.replace(was, made_text)).unwrap();
    }
}

/// Of all scripts: some call each other.
fn fingerprint(scripts: &Path) -> String {
    let mut paths: Vec<_> = fs::read_dir(scripts)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        hash.update(fs::read(path).unwrap());
    }
    hex(&hash.finalize()[..6])
}
