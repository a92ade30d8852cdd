//! Interoperability with a real codex, MCP clients and a browser.

mod browser;
mod clients;
mod codex;
mod limits;
mod pages;
mod pickers;
mod reading;
mod responses;
mod team;

use std::{fs, path::PathBuf};

/// A codex of the newest version that there was when setup.sh asked for it.
fn newest() -> Option<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache/agent");
    let version = fs::read_to_string(format!("{folder}/codex-newest")).ok()?;
    let path = PathBuf::from(format!("{folder}/codex-{}/bin/codex", version.trim()));
    Some(path.canonicalize().unwrap())
}

/// A program or a folder that setup.sh has fetched. The name has versions as
/// `$codex`; without it the test fails and says what to do.
fn fetched(name: &str) -> PathBuf {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let versions = fs::read_to_string(format!("{tests}/versions.sh")).unwrap();
    let mut path = name.to_owned();
    for line in versions.lines() {
        if let Some((program, version)) = line.split_once('=') {
            path = path.replace(&format!("${program}"), version);
        }
    }
    let path = PathBuf::from(format!("{tests}/../../.cache/agent/{path}"));
    assert!(
        path.exists(),
        "{} is missing: run tests/setup.sh",
        path.display()
    );
    path.canonicalize().unwrap()
}
