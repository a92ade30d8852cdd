use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::{TempDir, tempdir};

use super::Changes;
use crate::{
    machine::{Options, store::Store, user::User, volume::attach_directory},
    mode::Mode,
};

const REPO: &str = "org/x@main";
const EXPORT: &str = "org/x@0123456789abcdef0123456789abcdef01234567";

/// The options of a machine whose changes have this name.
fn options(name: &str, store: Option<&Path>) -> Options {
    Options {
        repo: Some(REPO.into()),
        servers: Vec::new(),
        mode: Mode::ReadWrite,
        workspace: PathBuf::new(),
        state: None,
        store: store.map(|store| Store::new(store.to_str().unwrap(), None).unwrap()),
        name: Some(name.into()),
        user: User::current(),
        token: None,
        grant_key: None,
        codex_key: None,
        agent: PathBuf::new(),
        blockd: PathBuf::new(),
        serve: Vec::new(),
        exercises: None,
    }
}

/// A machine by its disk, and the store that it shares with others.
struct Machine {
    disk: TempDir,
    store: Option<PathBuf>,
}

impl Machine {
    fn new(store: Option<&Path>) -> Self {
        let store = store.map(Path::to_owned);
        Self {
            disk: tempdir().unwrap(),
            store,
        }
    }

    fn changed(&self) -> PathBuf {
        attach_directory(self.disk.path()).join("changed")
    }

    /// Boots, and returns the base and the text that the work tree begins with; then
    /// changes it if there is a text, and detaches.
    async fn work_as(&self, name: &str, text: Option<&str>) -> (Option<String>, Option<String>) {
        let options = options(name, self.store.as_deref());
        let changes = Changes::new(&options, self.disk.path());
        let base = changes.fetch().await.unwrap();
        let found = fs::read_to_string(self.changed()).ok();
        changes.set_base(REPO, EXPORT).await.unwrap();
        if let Some(text) = text {
            fs::write(self.changed(), text).unwrap();
        }
        let has_changes = self.changed().exists();
        changes.upload(has_changes).await.unwrap();
        (base, found)
    }
}

fn with(text: &str) -> (Option<String>, Option<String>) {
    (Some(EXPORT.to_owned()), Some(text.to_owned()))
}

#[tokio::test]
async fn another_machine_with_the_name_has_the_changes() {
    let store = tempdir().unwrap();
    let lost = Machine::new(Some(store.path()));
    assert_eq!(lost.work_as("task-a", Some("a")).await, (None, None));
    let replacement = Machine::new(Some(store.path()));
    assert_eq!(replacement.work_as("task-a", None).await, with("a"));
}

#[tokio::test]
async fn the_next_task_of_a_machine_does_not_see_the_last_ones_changes() {
    let store = tempdir().unwrap();
    let machine = Machine::new(Some(store.path()));
    machine.work_as("task-a", Some("a")).await;
    assert_eq!(machine.work_as("task-b", Some("b")).await, (None, None));
    // The first is in the store; the second one's own are here.
    assert_eq!(machine.work_as("task-b", None).await, with("b"));
    assert_eq!(machine.work_as("task-a", None).await, with("a"));
    assert!(!machine.disk.path().join("set-aside").exists());
}

#[tokio::test]
async fn changes_that_were_never_stored_are_set_aside() {
    let machine = Machine::new(None);
    for round in 0..2 {
        let own = format!("a{round}");
        assert_eq!(machine.work_as("task-a", Some(&own)).await, (None, None));
        assert_eq!(machine.work_as("task-b", None).await, (None, None));
        let name = ["task-a", "task-a.1"][round];
        let aside = machine.disk.path().join("set-aside").join(name);
        assert_eq!(fs::read_to_string(aside.join("changed")).unwrap(), own);
    }
}

#[tokio::test]
async fn a_restore_that_was_interrupted_begins_again() {
    let store = tempdir().unwrap();
    Machine::new(Some(store.path())).work_as("task-a", Some("a")).await;
    let machine = Machine::new(Some(store.path()));
    let attach = attach_directory(machine.disk.path());
    fs::create_dir_all(&attach).unwrap();
    fs::write(attach.join("half"), "").unwrap();
    fs::write(machine.disk.path().join("fetched.tar.gz"), "cut").unwrap();
    assert_eq!(machine.work_as("task-a", None).await, with("a"));
    assert!(!attach.join("half").exists());
}
