//! What tests, scripts and our programs start, beside the table by which
//! `tests/setup.sh` installs it: both ways, for each stage of the Makefile.

mod python;
mod rust;
mod shell;
mod table;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

pub(crate) use self::table::package_of;
use self::table::{GIVEN, Table};

/// Who is started by whom: the first that a path begins with, and the stages of
/// `tests/setup.sh` in which its programs are started.
const STAGES: [(&str, &[&str]); 26] = [
    ("agent/benches/", &["bench"]),
    ("agent/src/smoke/exercises/", &[]),
    ("agent/src/", &["unit", "test"]),
    ("agent/tests/fake/", &["unit", "test"]),
    ("agent/tests/fly/interop/", &["test"]),
    ("agent/tests/serve/interop/", &["test"]),
    ("agent/tests/setup.sh", &["test"]),
    ("agent/tests/", &["unit"]),
    // What the tests of the pages need is made by it, too.
    ("agent/web/", &["web", "test"]),
    // What attaches, in whatever stage.
    ("blockd/src/", &["unit", "demo", "bench", "test"]),
    ("blockd/", &["unit"]),
    ("fly/promote.sh", &["test"]),
    // In an image, which its Dockerfile fills.
    ("fly/", &[]),
    ("imagegen/", &["unit"]),
    ("tests/attach_many.py", &["bench"]),
    ("tests/bench.py", &["bench"]),
    ("tests/link/", &["bench"]),
    ("tests/demo.sh", &["demo"]),
    ("tests/debian.sh", &["fresh", "images"]),
    ("tests/fresh.sh", &["fresh"]),
    ("tests/gits.sh", &["unit"]),
    ("tests/images/", &["images"]),
    ("tests/setup.sh", &[]),
    // In a guest, where busybox is everything.
    ("tests/guest/init", &[]),
    ("tests/fixtures/sixty-thousand.sh", &["bench"]),
    ("tests/", &["test"]),
];

/// Named in no file of ours, since programs of others start them.
const BY_OTHERS: [(&str, &str); 8] = [
    ("cc", "rustc links with it"),
    ("chromium", "chromedriver starts it"),
    ("file", "nbdinfo starts it, and shows stray bytes without"),
    (
        "fusermount3",
        "mounts FUSE where the fuser crate may not do so itself",
    ),
    ("git-lfs", "git starts it"),
    ("jgit", "a jar that java runs"),
    ("libc", "what cc links with"),
    ("strip", "install --strip starts it"),
];

/// The examples here are started by nobody.
const HERE: &str = "tests/programs";

/// A program, and the file that starts it.
type Start = (String, PathBuf);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .into()
}

/// All that is started, read from the sources.
fn starts() -> Vec<Start> {
    let (mut found, mut functions) = (Vec::new(), BTreeSet::new());
    for (name, text) in files() {
        if ending(&name) == Some("sh") {
            functions.extend(shell::functions(&text));
        }
        let programs = programs_of(&name, &text).into_iter();
        found.extend(programs.map(|program| (program, name.clone())));
    }
    found.retain(|(program, _)| !functions.contains(program));
    found
}

/// The texts of the repository, by their path below its root.
fn files() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = ["imagegen", "blockd", "agent", "tests", "fly"]
        .map(|name| root().join(name))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What npm has fetched is started by npm.
                if !path.ends_with("node_modules") {
                    folders.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found
}

/// The language of a file is that of its first line, or of its ending.
fn programs_of(path: &Path, text: &str) -> BTreeSet<String> {
    let first = text.lines().next().unwrap_or_default();
    match ending(path) {
        _ if path.starts_with(HERE) => BTreeSet::new(),
        Some("rs") => rust::programs(text),
        Some("py") => python::programs(text),
        Some("sh") => shell::programs(text),
        _ if first.starts_with("#!") && first.ends_with("python3") => python::programs(text),
        _ if first.starts_with("#!") && first.ends_with("sh") => shell::programs(text),
        _ => BTreeSet::new(),
    }
}

fn ending(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}

fn stages_of(path: &Path) -> &'static [&'static str] {
    let path = path.to_str().unwrap();
    let is_in = |place: &str| path == place || place.ends_with('/') && path.starts_with(place);
    let room = STAGES.iter().find(|(place, _)| is_in(place));
    room.unwrap_or_else(|| panic!("{path}: in which stage? See STAGES"))
        .1
}

/// What is started and not installed.
fn missing(table: &Table, starts: &[Start]) -> Vec<String> {
    let mut found = Vec::new();
    for (program, path) in starts {
        for stage in stages_of(path) {
            if !table.installs(stage, program) {
                found.push(format!(
                    "{program}: {} starts it in stage {stage}",
                    path.display()
                ));
            }
        }
    }
    found
}

/// What is installed and not started, in the group that is too large.
fn needless(table: &Table, starts: &[Start]) -> Vec<String> {
    let is_started = |group: &str, program: &str| {
        starts.iter().any(|(name, path)| {
            let stages = stages_of(path);
            let here = |stage: &&str| group == GIVEN || table.stage(stage).contains(group);
            name == program && (stages.iter().any(here) || stages.is_empty() && group == GIVEN)
        }) || BY_OTHERS.iter().any(|(name, _)| *name == program)
    };
    let entries = table
        .entries()
        .filter(|(group, program)| !is_started(group, program));
    entries
        .map(|(group, program)| format!("{program} of {group}: nothing starts it"))
        .collect()
}

#[test]
fn setup_installs_what_is_started_and_nothing_else() {
    let (table, starts) = (Table::read(), starts());
    assert!(starts.len() > 100, "{starts:#?}");
    let found = [missing(&table, &starts), needless(&table, &starts)].concat();
    assert!(found.is_empty(), "tests/setup.sh: {found:#?}");
}

/// Else what they start would go unseen.
#[test]
fn programs_are_started_by_their_names() {
    let sources = files()
        .into_iter()
        .filter(|(path, _)| ending(path) == Some("rs"));
    for (path, text) in sources.filter(|(path, _)| !path.starts_with(HERE)) {
        let found = rust::unnamed(&text);
        assert!(
            found.is_empty(),
            "{}: {found:?}: see CALLS and NOT_NAMED",
            path.display()
        );
    }
}

#[test]
fn no_function_of_a_script_hides_a_program() {
    let table = Table::read();
    for (path, text) in files() {
        if ending(&path) == Some("sh") {
            let functions = shell::functions(&text);
            let hidden = table
                .entries()
                .find(|(_, program)| functions.contains(*program));
            assert!(hidden.is_none(), "{}: {hidden:?}", path.display());
        }
    }
}

#[test]
fn what_others_start_is_in_the_table() {
    for (program, _) in BY_OTHERS {
        assert!(!package_of(program).is_empty());
    }
}
