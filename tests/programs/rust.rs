//! What Rust sources start.

use std::collections::BTreeSet;

use super::shell;

/// What a program's name stands behind.
const CALLS: [&str; 9] = [
    "Command::new(",
    "hermetic(",
    "json(",
    "program(",
    "programs::find(",
    "requires(",
    "run(",
    "const PROGRAM: &str =",
    "wrapped(&[",
];

/// Whatever else stands behind `Command::new(`: our own programs, those that
/// others have fetched, and functions that CALLS knows by their name.
const NOT_NAMED: [&str; 23] = [
    "&options.agent",
    "&options.blockd",
    "&options.program",
    "&parts[1]",
    "&program",
    "&self.executable)",
    "&words[0]",
    "AGENT",
    "binary()",
    "blockd",
    "cargo",
    "e2fsck",
    "env!(",
    "env::current_exe()",
    "fetched(",
    "modprobe)",
    "modules.join(",
    "name",
    "nbd_client::program(",
    "program",
    "program: impl",
    "running_program()",
    "Path::new(",
];

/// The programs that this text starts.
pub(super) fn programs(text: &str) -> BTreeSet<String> {
    let code = without_comments(text);
    let mut found: BTreeSet<String> = CALLS
        .iter()
        .flat_map(|call| behind(&code, call))
        .filter_map(literal)
        .map(name)
        .filter(|name| is_name(name))
        .collect();
    found.extend(paths(&code).map(name).filter(|name| is_name(name)));
    if code.contains("import sys, nbd") {
        found.insert("python-nbd".to_owned());
    }
    for script in behind(&code, "\"-c\",").filter_map(|rest| script(&code, rest)) {
        found.extend(shell::programs(&script));
    }
    found
}

/// The starts that name no program.
pub(super) fn unnamed(text: &str) -> Vec<String> {
    let code = without_comments(text);
    behind(&code, "Command::new(")
        .filter(|rest| literal(rest).is_none())
        .filter(|rest| !NOT_NAMED.iter().any(|known| rest.starts_with(known)))
        .map(|rest| rest.lines().next().unwrap_or_default().to_owned())
        .collect()
}

fn without_comments(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// The text behind each of these words, from its next sign on.
fn behind<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(word)
        .map(move |(at, _)| code[at + word.len()..].trim_start())
}

/// The string that a text begins with.
fn literal(text: &str) -> Option<&str> {
    let (raw, end) = match text.strip_prefix("r#\"") {
        Some(raw) => (raw, "\"#"),
        None => (text.strip_prefix('"')?, "\""),
    };
    let ends = raw.match_indices(end).map(|(at, _)| at);
    let end = ends.into_iter().find(|at| !raw[..*at].ends_with('\\'))?;
    Some(&raw[..end])
}

/// Programs by their whole path.
fn paths(code: &str) -> impl Iterator<Item = &str> {
    ["\"/usr/bin/", "\"/usr/sbin/"]
        .iter()
        .flat_map(|start| code.match_indices(start).map(|(at, _)| at))
        .filter_map(|at| literal(&code[at..]))
}

fn name(program: &str) -> String {
    program.rsplit('/').next().unwrap_or_default().to_owned()
}

fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(known)
}

/// The script behind a shell's `-c`: a string, or one that has a name.
fn script(code: &str, rest: &str) -> Option<String> {
    let text = literal(rest).or_else(|| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let name = &rest[..end];
        let mut made = [format!("const {name}: &str ="), format!("let {name} =")].into_iter();
        made.find_map(|made| literal(code.split_once(&made)?.1.trim_start()))
    })?;
    // Else it is an option of git or stat, or a script in Python.
    let is_script = text.contains(' ') && !text.starts_with('%') && !text.starts_with("import ");
    is_script.then(|| {
        text.replace("\\\n", " ")
            .replace("\\\"", "\"")
            .replace("\\n", "\n")
    })
}

#[test]
fn programs_are_found_by_calls_paths_and_in_scripts() {
    let text = r#"
        // Command::new("commented")
        Command::new("ls").arg("x"); run("/usr/sbin/nbd-client", &[]);
        const PYTHON: &str = "/usr/bin/python3";
        const SCRIPT: &str = "mkdir $0 && mount x | head -c 1";
        sh(&["-c", SCRIPT]); sh(&["-c", "exec sleep 1"]);
    "#;
    let expected = [
        "head",
        "ls",
        "mkdir",
        "mount",
        "nbd-client",
        "python3",
        "sleep",
    ];
    assert_eq!(programs(text), expected.map(str::to_owned).into());
    assert_eq!(unnamed("Command::new(other.tool)"), ["other.tool)"]);
}
