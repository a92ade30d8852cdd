//! An edit that keeps a file's size is seen by the next `git status`, whatever
//! the commit's date, the moment and the way of the edit.
//!
//! Git compares times by the second, so the first edits after an attach are the
//! ones that could go unseen: those in the second that the index has for the
//! file (git's Documentation/technical/racy-git.adoc).

mod round;
mod way;

use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use self::round::{EDITS, Round, Unseen};
use crate::harness::{Fixture, TestBlockd, TestRepo, hermetic, run};

/// They mostly wait for a moment.
const AT_ONCE: usize = 4;

#[test]
fn no_edit_goes_unseen() {
    make_edits(200);
}

#[test]
#[ignore = "ten minutes: make soak"]
fn no_edit_of_many_goes_unseen() {
    make_edits(10_000);
}

#[track_caller]
fn make_edits(edits: u64) {
    let folder = tempfile::tempdir().unwrap();
    let server = TestBlockd::serve(folder.path());
    let rounds = edits / EDITS;
    let (next, unseen) = (AtomicU64::new(0), Mutex::new(Vec::<Unseen>::new()));
    let play_some = || {
        while let Some(number) = Some(next.fetch_add(1, Relaxed)).filter(|n| *n < rounds) {
            let repo = repository(folder.path(), number);
            let played = Round::new(number, &repo).play(&server);
            unseen.lock().unwrap().extend(played.err());
        }
    };
    thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(play_some);
        }
    });
    let unseen = unseen.into_inner().unwrap();
    assert!(
        unseen.is_empty(),
        "in {} of {rounds} rounds git does not see an edit:\n{}",
        unseen.len(),
        unseen.join("\n")
    );
}

/// One for each round, among those that are served.
fn repository(folder: &Path, number: u64) -> TestRepo {
    let path = folder.join(format!("round{number}.git"));
    let sizes = Fixture::get("sizes").repo("sizes");
    run(hermetic("cp").arg("-a").arg(sizes.path()).arg(&path));
    TestRepo::at(path)
}
