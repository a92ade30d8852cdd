//! What of other crates a room may name, where cargo cannot say it: cargo's
//! dependencies are those of a whole crate.

use crate::source::{root, sources};

/// Code below `within` must not name `name`, but in files that begin with one of `but`.
struct Rule {
    within: &'static str,
    but: &'static [&'static str],
    name: &'static str,
}

const fn rule(within: &'static str, name: &'static str, but: &'static [&'static str]) -> Rule {
    Rule { within, but, name }
}

const RULES: [Rule; 11] = [
    // A library reads no environment; a program reads it where it reads its
    // command line.
    rule("imagegen/src", "std::env", &[]),
    rule("blockd/nbd/src", "std::env", &[]),
    rule(
        "blockd/src",
        "std::env",
        &["blockd/src/main.rs", "blockd/src/cli/"],
    ),
    rule(
        "agent/src",
        "std::env",
        &["agent/src/main.rs", "agent/src/cli/"],
    ),
    rule(
        "blockd/src",
        "clap",
        &["blockd/src/main.rs", "blockd/src/cli/"],
    ),
    rule(
        "agent/src",
        "clap",
        &["agent/src/main.rs", "agent/src/cli/"],
    ),
    rule(
        "blockd/src",
        "imagegen",
        &[
            "blockd/src/serve/catalog/",
            "blockd/src/attach/layers/lower/superblock.rs",
        ],
    ),
    rule("imagegen/src/ext4", "gix", &[]),
    rule("imagegen/src/ext4", "gix_pack", &[]),
    rule("agent/src/serve/session", "axum", &[]),
    rule("agent/src/fly", "axum", &[]),
];

/// Whether `code` names `name`: whole, at the beginning of a path.
fn names(code: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut spelt = code.replace(char::is_whitespace, " ");
    if let Some((krate, module)) = name.split_once("::") {
        // `use std::{env, fs}` names std::env.
        if group_names(&spelt, krate, module) {
            return true;
        }
    }
    spelt.insert(0, ' ');
    let mut rest = spelt.as_str();
    while let Some(at) = rest.find(name) {
        let before = rest[..at].chars().next_back();
        let after = rest[at + name.len()..].chars().next();
        let starts = before.is_none_or(|c| !is_word(c));
        let path = after == Some(':') || (name.contains("::") && after.is_none_or(|c| !is_word(c)));
        let used = rest[..at].trim_end().ends_with("use") && after.is_none_or(|c| !is_word(c));
        if starts && (path || used) {
            return true;
        }
        rest = &rest[at + name.len()..];
    }
    false
}

fn group_names(code: &str, krate: &str, module: &str) -> bool {
    let group = format!("use {krate}::{{");
    code.split(&group).skip(1).any(|rest| {
        let group = rest.split(';').next().unwrap_or_default();
        group
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == module)
    })
}

#[test]
fn rooms_name_no_other_crates_than_they_may() {
    let mut found = Vec::new();
    for rule in &RULES {
        let sources = sources(&root(), rule.within);
        assert!(
            !sources.is_empty(),
            "{}: no file is left of it",
            rule.within
        );
        for source in &sources {
            let excepted = rule.but.iter().any(|start| source.path.starts_with(start));
            if !excepted && names(&source.code, rule.name) {
                found.push(format!("{}: must not name {}", source.path, rule.name));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_name_is_found_however_it_is_written() {
    for code in [
        "use std::env;",
        "use std::{fs,\n env};",
        "let x = std::env::var(X);",
    ] {
        assert!(names(code, "std::env"), "{code}");
    }
    for code in [
        "use imagegen::Image;",
        "fn x() -> imagegen::Image {}",
        "use imagegen;",
    ] {
        assert!(names(code, "imagegen"), "{code}");
    }
    for code in ["use std::fs;", "env!(X)", "let env = 1;", "use crate::env;"] {
        assert!(!names(code, "std::env"), "{code}");
    }
    for code in [
        "let imagegen = 1;",
        "use my_imagegen::X;",
        "use crate::imagegen::X;",
    ] {
        assert!(!names(code, "imagegen"), "{code}");
    }
}
