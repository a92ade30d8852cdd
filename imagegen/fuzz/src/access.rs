//! What a repository leads to.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use imagegen::git::{Cache, ObjectId, Repository, SnapshotStore, Wall};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::git::git;

/// The files of a repository that say where others are, or what they are.
const FILES: [&str; 12] = [
    "HEAD",
    "config",
    "commondir",
    "packed-refs",
    "shallow",
    "refs/heads/main",
    "refs/tags/v1",
    "objects/info/alternates",
    "objects/info/commit-graphs/commit-graph-chain",
    "objects/pack/multi-pack-index",
    "objects/pack/pack-1111111111111111111111111111111111111111.idx",
    "worktree/.git",
];

thread_local! {
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// A folder with a repository that is made anew for every input, and beside it
/// one that must not be reached.
struct Place {
    folder: TempDir,
    secret: ObjectId,
}

/// One file for each record: its number, how it is written (a file, a link, a
/// FIFO, or nothing), the length of its content, and the content. `@` in a
/// content is the folder with both repositories.
///
/// Whatever they say, nothing waits, and no object of the other is found.
pub fn access(data: &[u8]) {
    PLACE.with_borrow_mut(|place| {
        let place = place.get_or_insert_with(Place::new);
        place.write(data);
        place.look();
    });
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().expect("there is room for a directory");
        let secret = folder.path().join("secret");
        git(
            folder.path(),
            &["init", "-q", "--bare", "-b", "main", "secret"],
            b"",
        );
        let tree = line(&secret, &["mktree"]);
        let commit = line(&secret, &["commit-tree", "-m", "secret", &tree]);
        git(&secret, &["update-ref", "refs/heads/main", &commit], b"");
        let secret = ObjectId::from_hex(commit.as_bytes()).expect("git prints ids");
        Self { folder, secret }
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("served/repository")
    }

    fn write(&self, mut data: &[u8]) {
        drop(fs::remove_dir_all(self.repository()));
        let path = self.repository();
        for directory in ["refs/heads", "objects/pack", "objects/info"] {
            fs::create_dir_all(path.join(directory)).expect("there is room");
        }
        fs::write(path.join("HEAD"), "ref: refs/heads/main\n").expect("there is room");
        while let [file, kind, length, rest @ ..] = data {
            let (content, rest) = rest.split_at(usize::from(*length).min(rest.len()));
            data = rest;
            let file = path.join(FILES[usize::from(*file) % FILES.len()]);
            self.put(&file, *kind, content);
        }
    }

    fn put(&self, file: &Path, kind: u8, content: &[u8]) {
        let place = self.folder.path().to_str().expect("it is ASCII").as_bytes();
        let content: Vec<u8> = content
            .iter()
            .flat_map(|byte| match byte {
                b'@' => place,
                other => std::slice::from_ref(other),
            })
            .copied()
            .collect();
        drop(fs::create_dir_all(file.parent().expect("it has one")));
        drop(fs::remove_file(file));
        // One that cannot be made is not there.
        match kind % 4 {
            0 => drop(fs::write(file, content)),
            1 => drop(symlink(String::from_utf8_lossy(&content).as_ref(), file)),
            2 => drop(mknodat(CWD, file, FileType::Fifo, Mode::RUSR, 0)),
            _ => {}
        }
    }

    /// Opens, resolves and takes a snapshot.
    fn look(&self) {
        let served = self.folder.path().join("served");
        let wall = Wall::around([&served]).expect("it exists");
        let state = self.folder.path().join("state");
        let store = SnapshotStore::open(&state).expect("there is room");
        let cache = Cache::new(1 << 20, &state);
        for path in [self.repository(), self.repository().join("worktree")] {
            let Ok(repository) = Repository::open_within(&path, &wall) else {
                continue;
            };
            for revision in ["HEAD", "main", "v1", "main~1"] {
                if let Ok(resolved) = repository.resolve(revision) {
                    assert_ne!(resolved.commit, self.secret, "{revision} leads out");
                }
            }
            let objects = repository.objects(&cache);
            assert!(objects.is_err() || objects.is_ok_and(|all| all.commit(self.secret).is_err()));
            let taken = store.take(&repository, self.secret, &cache);
            assert!(taken.is_err(), "a snapshot has the other's objects");
        }
    }
}

fn line(path: &Path, arguments: &[&str]) -> String {
    let out = git(path, arguments, b"");
    String::from_utf8(out)
        .expect("git prints ids")
        .trim_end()
        .to_owned()
}
