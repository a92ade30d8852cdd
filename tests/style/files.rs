//! How long a file may be, and what it may be called.

use std::{fs, path::PathBuf};

use crate::source::root;

const MAX_LINES: usize = 400;
const CRATES: [&str; 5] = ["imagegen", "blockd", "blockd/nbd", "agent", "tests"];

/// What a file breaks.
fn violations(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found.push(format!("{path}: {lines} lines, over {MAX_LINES}"));
    }
    let name = path.rsplit('/').next();
    if matches!(
        name,
        Some("utils.rs" | "util.rs" | "helpers.rs" | "common.rs" | "misc.rs")
    ) {
        found.push(format!("{path}: name it after what it does"));
    }
    found
}

/// All Rust files of the workspace, by their path below its root.
fn all_files() -> Vec<(String, String)> {
    let root = root();
    let mut folders: Vec<PathBuf> = CRATES.iter().map(|name| root.join(name)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    files
}

#[test]
fn files_are_short_and_named_after_what_they_do() {
    let files = all_files();
    assert!(files.len() > 200, "only {} files were found", files.len());
    let found: Vec<_> = files
        .iter()
        .flat_map(|(path, text)| violations(path, text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_long_file_and_a_drawer_are_found() {
    assert_eq!(violations("a/b.rs", &"\n".repeat(MAX_LINES + 1)).len(), 1);
    assert_eq!(violations("a/utils.rs", "").len(), 1);
    assert!(violations("a/b.rs", &"\n".repeat(MAX_LINES)).is_empty());
}

#[test]
fn no_crate_has_features_of_its_own() {
    for name in CRATES {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("[features]"), "{name}");
    }
}
