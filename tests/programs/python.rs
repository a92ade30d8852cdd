//! What Python scripts start: the first word of a list, or of a call to `run`
//! or `on`, a host's name before it.

use std::collections::BTreeSet;

const CALLS: [&str; 7] = [
    "Popen([",
    "on(CLIENT,",
    "on(SERVER,",
    "on(host,",
    "run(",
    "run(*SUDO,",
    "run([",
];

/// The programs that this text starts.
pub(super) fn programs(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from(["python3".to_owned()]);
    // Debian's module, which the table has beside the programs.
    let is_import = |line: &str| line == "import nbd" || line.starts_with("import sys, nbd");
    if text.lines().any(is_import) {
        found.insert("python-nbd".to_owned());
    }
    let is_import = |line: &str| line.starts_with("from prometheus_client");
    if text.lines().any(is_import) {
        found.insert("python-prometheus".to_owned());
    }
    let is_import = |line: &str| line.starts_with("from asciinema");
    if text.lines().any(is_import) {
        found.insert("python-asciinema".to_owned());
    }
    for call in CALLS {
        for (at, _) in text.match_indices(call) {
            let Some(rest) = text[at + call.len()..].trim_start().strip_prefix('"') else {
                continue;
            };
            let word = rest.split('"').next().unwrap_or_default();
            if !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
                found.insert(word.to_owned());
            }
        }
    }
    found
}

#[test]
fn lists_and_calls_are_read() {
    let text = "import nbd\nrun(\"git\", \"-C\")\nPopen([\"nbdkit\", \"-f\"])\nreport[\"steps\"]\n\
        run(*on(host, \"ip\", \"link\"))\nrun(\"Some Name\")\n";
    let expected = ["git", "ip", "nbdkit", "python-nbd", "python3"];
    assert_eq!(programs(text), expected.map(str::to_owned).into());
}
