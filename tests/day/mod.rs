//! A day of work with git does in an attached tree what it does in a clone, and
//! takes about as long.

mod beginning;

use std::{fmt::Write as _, fs, path::Path, process::Command, time::Duration};

use crate::{
    harness::{Fixture, TestBlockd, TestRepo, Twin, Twins, git, hermetic, run},
    real::repositories,
};

/// Kinds of attachments.
const OVERLAY: &[&str] = &[];
const BLOCK: &[&str] = &["--cow", "block"];

#[test]
fn a_day_in_files_with_lf() {
    let repo = Fixture::get("day").repo("plain");
    assert_eq!(spend(&repo, OVERLAY, 150, 3).differences, "");
}

#[test]
fn a_day_in_files_with_crlf() {
    let repo = Fixture::get("day").repo("crlf");
    assert_eq!(spend(&repo, OVERLAY, 150, 5).differences, "");
}

#[test]
fn a_day_on_a_disk_of_ones_own() {
    let repo = Fixture::get("day").repo("plain");
    assert_eq!(spend(&repo, BLOCK, 150, 7).differences, "");
}

#[test]
#[ignore = "minutes for each: make soak REPOS=FOLDER"]
fn a_day_in_real_repositories() {
    spend_in_all(OVERLAY);
}

#[test]
#[ignore = "minutes for each: make soak REPOS=FOLDER"]
fn a_day_in_real_repositories_on_a_disk_of_ones_own() {
    spend_in_all(BLOCK);
}

/// Shows how long it takes in each, whether or not they differ.
#[track_caller]
fn spend_in_all(attach: &[&str]) {
    let mut different = String::new();
    for repo in repositories() {
        let day = spend(&repo, attach, 500, 11);
        eprintln!("{} {attach:?}\n{}", repo.name(), day.table);
        if !day.differences.is_empty() {
            writeln!(different, "{}:\n{}", repo.name(), day.differences).unwrap();
        }
    }
    assert_eq!(different, "");
}

struct Day {
    /// What the attached tree has, or has done (-), and not the clone (+).
    differences: String,
    /// How long each step took in both.
    table: String,
}

/// The whole day in both trees; `far` is so many commits back.
fn spend(repo: &TestRepo, attach: &[&str], far: u32, seed: u32) -> Day {
    let server = TestBlockd::serve(repo.folder());
    let branch = repo.git(&["symbolic-ref", "--short", "HEAD"]);
    let twins = Twins::of(repo, &branch, &server, attach);
    for twin in twins.both() {
        // Each pushes to an origin of its own.
        run(git(twin.scratch)
            .args(["clone", "-q", "--bare", "--shared"])
            .arg(repo.path())
            .arg("origin.git"));
    }
    let turn = tempfile::NamedTempFile::new().unwrap();
    Day {
        differences: twins.differences_at_once(|twin| {
            let mut day = day(twin, far, seed);
            day.env("TURN", turn.path());
            day
        }),
        table: table(&twins),
    }
}

fn day(twin: &Twin<'_>, far: u32, seed: u32) -> Command {
    let mut command = hermetic("bash");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("day/day.sh"))
        .current_dir(&twin.tree)
        .env("ORIGIN", twin.scratch.join("origin.git"))
        .env("SCRATCH", twin.scratch)
        .env("FAR", far.to_string())
        .env("SEED", seed.to_string());
    command
}

/// How long each step took: attached, in a clone, the ratio.
fn table(twins: &Twins) -> String {
    let [attached, cloned] = twins.both().map(|twin| times(twin.scratch));
    let whole = |steps: &[(String, Duration)]| steps.iter().map(|(_, time)| *time).sum();
    let all = ("in all".to_owned(), whole(&attached));
    let times = cloned.iter().map(|(_, time)| *time).chain([whole(&cloned)]);
    let mut text = format!("  {:14} {:>10} {:>10}\n", "", "attached", "clone");
    for ((name, attached), cloned) in attached.iter().chain([&all]).zip(times) {
        let ratio = attached.as_secs_f64() / cloned.as_secs_f64();
        let [attached, cloned] = [*attached, cloned].map(|time| time.as_millis());
        writeln!(
            text,
            "  {name:14} {attached:>7} ms {cloned:>7} ms {ratio:>7.2}"
        )
        .unwrap();
    }
    text
}

/// The steps of a day, in their order.
fn times(scratch: &Path) -> Vec<(String, Duration)> {
    let text = fs::read_to_string(scratch.join("times")).unwrap();
    let step = |line: &str| {
        let (name, time) = line.split_once(' ').expect("NAME MICROSECONDS");
        (
            name.to_owned(),
            Duration::from_micros(time.parse().unwrap()),
        )
    };
    text.lines().map(step).collect()
}
