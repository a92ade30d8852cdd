//! The house rules that no lint knows: which room may name which, how long a
//! file may be, and that the README's commands exist.

mod rules;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::rules::RULES;
use crate::harness::{blockd, run};

const LONGEST_FILE: usize = 400;

/// What this file breaks.
fn violations(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        found.push(format!("{path}: {lines} lines, over {LONGEST_FILE}"));
    }
    if matches!(
        path.rsplit('/').next(),
        Some("utils.rs" | "util.rs" | "helpers.rs")
    ) {
        found.push(format!("{path}: name it after what it does"));
    }
    let named = paths_named(path, text);
    for rule in RULES.iter().filter(|rule| path.starts_with(rule.within)) {
        if rule.but.iter().any(|exception| path.contains(exception)) {
            continue;
        }
        let broken = named
            .iter()
            .filter(|name| rule.names.iter().any(|no| is_below(name, no)));
        found.extend(broken.map(|name| format!("{path}: must not name {name}")));
    }
    found
}

fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path the code names, whole: braces of `use` spelt out, `super` resolved.
fn paths_named(file: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let own = module_of(file);
    let mut names = Vec::new();
    let mut rest = code.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        rest = &rest[start..];
        let used = expand(rest, "", &mut names);
        rest = &rest[used.max(1)..];
    }
    names.iter().map(|name| resolved(name, &own)).collect()
}

/// Reads one path at the start of `text`, with what its braces hold; gives its length.
fn expand(text: &str, prefix: &str, names: &mut Vec<String>) -> usize {
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c: char| !is_path(c)).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    let Some(group) = path
        .strip_suffix("::")
        .filter(|_| text[end..].starts_with('{'))
    else {
        names.push(path.trim_end_matches(':').to_owned());
        return end;
    };
    let mut at = end + 1;
    while let Some(next) = text.get(at..).and_then(|rest| rest.chars().next()) {
        match next {
            '}' => return at + 1,
            c if is_path(c) => at += expand(&text[at..], &format!("{group}::"), names),
            c => at += c.len_utf8(),
        }
    }
    at
}

/// Without comments and strings.
fn code_of(text: &str) -> String {
    let uncommented = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let mut code = String::new();
    for line in uncommented {
        let unquoted = line.replace("\\\"", "").replace("'\"'", "");
        code.extend(unquoted.split('"').step_by(2));
        code.push('\n');
    }
    code
}

/// `imagegen/src/ext4/dir.rs` is `crate::ext4::dir`.
fn module_of(file: &str) -> Vec<String> {
    let (_, inside) = file.split_once("/src/").unwrap_or(("", file));
    let mut parts: Vec<_> = inside
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if matches!(
        parts.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        parts.pop();
    }
    parts.insert(0, "crate".to_owned());
    parts
}

fn resolved(name: &str, own: &[String]) -> String {
    let mut base = own.to_vec();
    let mut rest = name;
    if let Some(after) = rest.strip_prefix("self::") {
        rest = after;
    } else if !rest.starts_with("super::") {
        return name.to_owned();
    }
    while let Some(after) = rest.strip_prefix("super::") {
        base.pop();
        rest = after;
    }
    if base.is_empty() {
        rest.to_owned()
    } else {
        format!("{}::{rest}", base.join("::"))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// Rust files of the workspace, by their path below its root.
fn sources() -> Vec<(String, String)> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders: Vec<_> = ["imagegen", "blockd", "agent", "tests"]
        .map(|name| root.join(name))
        .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn the_sources_keep_the_house_rules() {
    let sources = sources();
    assert!(sources.len() > 20, "{} files found", sources.len());
    let found: Vec<_> = sources
        .iter()
        .flat_map(|(path, text)| violations(path, text))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_member_has_features_of_its_own() {
    for member in ["imagegen", "blockd", "agent", "tests"] {
        let manifest = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        assert!(!manifest.contains("[features]"), "{member}");
    }
}

#[test]
fn every_rule_is_broken_by_something() {
    for (path, text) in [
        ("imagegen/src/ext4/dir.rs", "use crate::git::Repository;"),
        ("imagegen/src/ext4/dir.rs", "use super::super::image;"),
        (
            "imagegen/src/ext4/dir.rs",
            "use crate::{ext4::Block, error::Error};",
        ),
        ("imagegen/src/ext4/mod.rs", "use super::{\n    git,\n};"),
        ("imagegen/src/ext4/inode.rs", "fn x() -> crate::Error {}"),
        ("imagegen/src/ext4/inode.rs", "use gix::ObjectId;"),
        (
            "imagegen/src/git/tree.rs",
            "fn x() { crate::ext4::BLOCK_SIZE; }",
        ),
        (
            "imagegen/src/git/tree.rs",
            "use crate::{error::{Kind, Result}, image::Plan};",
        ),
        ("imagegen/src/walk.rs", "use crate::image::plan;"),
        ("imagegen/src/error.rs", "use crate::git::Id;"),
        ("imagegen/src/git/mod.rs", "use std::{env, fs};"),
        ("blockd/src/relay/mod.rs", "use imagegen::Image;"),
        (
            "blockd/src/server.rs",
            "fn x() { imagegen::Image::open(); }",
        ),
        ("blockd/src/server.rs", "let x = std::env::var(\"X\");"),
        ("blockd/src/server.rs", &"\n".repeat(LONGEST_FILE + 1)),
        ("blockd/src/utils.rs", ""),
        ("agent/src/serve.rs", "use std::env;"),
        (
            "agent/src/serve/pty/mod.rs",
            "use crate::serve::output_log::Reader;",
        ),
        (
            "agent/src/serve/output_log/mod.rs",
            "use crate::serve::pty::Pty;",
        ),
        (
            "agent/src/serve/session/run.rs",
            "use crate::serve::http::App;",
        ),
        (
            "agent/src/serve/mcp.rs",
            "use crate::serve::{http::App, session::Run};",
        ),
        (
            "agent/src/serve/http/live.rs",
            "use crate::serve::{mcp::Tools, pty::Pty};",
        ),
        (
            "agent/src/serve/http/live.rs",
            "use crate::serve::mcp::Tools;",
        ),
        (
            "agent/src/client/mod.rs",
            "use crate::serve::session::State;",
        ),
        ("agent/src/fly/client.rs", "use crate::coordinator::App;"),
        (
            "agent/src/coordinator/ensure.rs",
            "use crate::serve::session::Session;",
        ),
        (
            "agent/src/serve/http/guard.rs",
            "use crate::fly::MachineId;",
        ),
    ] {
        assert!(!violations(path, text).is_empty(), "{path}: {text}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for (path, text) in [
        (
            "imagegen/src/ext4/dir.rs",
            "use super::{Block, checksum::Checksum};",
        ),
        (
            "imagegen/src/ext4/dir.rs",
            "// crate::git\nlet x = \"crate::git\";",
        ),
        (
            "imagegen/src/ext4/dir.rs",
            "#[cfg(test)] mod tests { use super::*; }",
        ),
        (
            "imagegen/src/git/mod.rs",
            "use crate::error::Result; mod tree;",
        ),
        (
            "imagegen/src/lib.rs",
            "pub mod image; pub use crate::image::Image;",
        ),
        (
            "imagegen/src/image/plan.rs",
            "use crate::{ext4, git, image::extent_map};",
        ),
        ("blockd/src/serve/catalog/mod.rs", "use imagegen::Image;"),
        ("blockd/src/cli/mod.rs", "use std::env;"),
        (
            "blockd/src/relay/mod.rs",
            "/// imagegen is not named here\nconst X: &str = env!(\"X\");",
        ),
    ] {
        assert_eq!(
            violations(path, text),
            Vec::<String>::new(),
            "{path}: {text}"
        );
    }
}

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let makefile = fs::read_to_string(root().join("Makefile")).expect("Makefile");
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
