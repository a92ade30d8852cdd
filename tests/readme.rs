//! The README's commands exist.

use std::{fs, path::Path};

use crate::harness::{blockd, run};

#[test]
fn the_commands_of_the_readme_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("README.md");
    let makefile = fs::read_to_string(root.join("Makefile")).expect("Makefile");
    let lines: Vec<_> = readme
        .lines()
        .map(|line| line.trim().trim_start_matches("$ "))
        .collect();
    let after = |program: &str| -> Vec<String> {
        let calls = lines.iter().filter_map(|line| line.strip_prefix(program));
        calls
            .filter_map(|rest| rest.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    let targets = after("make ");
    assert!(
        ["demo", "test"]
            .iter()
            .all(|name| targets.iter().any(|target| target == name))
    );
    for target in targets {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
    let commands = after("blockd ");
    assert!(!commands.is_empty(), "the README shows no blockd command");
    for command in commands {
        run(blockd().args([&command, "--help"]));
    }
}
