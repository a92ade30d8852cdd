//! What shell scripts start: the first word of every command that is neither
//! the shell's own nor a function of the script.

mod reader;

use std::collections::BTreeSet;

use self::reader::Reader;

/// The shell's own commands, and the words behind which a command goes on.
const OWN: [&str; 37] = [
    ".", ":", "break", "case", "cd", "command", "continue", "declare", "done", "echo", "esac",
    "exec", "exit", "export", "false", "fi", "for", "function", "kill", "local", "mapfile",
    "printf", "pwd", "read", "readonly", "return", "set", "shift", "source", "test", "trap",
    "true", "type", "ulimit", "umask", "unset", "wait",
];
const KEYWORDS: [&str; 9] = [
    "!", "do", "elif", "else", "if", "then", "until", "while", "{",
];
/// Commands that run the command behind them, and how many words come first.
const WRAPPERS: [(&str, usize); 12] = [
    ("$sudo", 0),
    ("as_root", 0),
    ("command", 0),
    ("env", 0),
    ("exec", 0),
    ("setsid", 0),
    ("sudo", 0),
    ("timed", 1),
    ("timeout", 1),
    ("type", 0),
    ("unshare", 0),
    ("xargs", 0),
];

/// The programs that this script starts.
pub(super) fn programs(script: &str) -> BTreeSet<String> {
    let reader = Reader::read(script);
    let mut found = BTreeSet::new();
    for command in &reader.commands {
        add_started(command, &mut found);
    }
    found.retain(|name| is_name(name) && !OWN.contains(&name.as_str()));
    found
}

/// The functions that it makes, for itself and for scripts that source it.
pub(super) fn functions(script: &str) -> BTreeSet<String> {
    Reader::read(script).functions
}

/// Adds the program of a command, and those that it is told to start.
fn add_started(command: &[String], found: &mut BTreeSet<String>) {
    let is_before = |word: &&String| KEYWORDS.contains(&word.as_str()) || is_assignment(word);
    let start = command.iter().take_while(is_before).count();
    let Some((program, arguments)) = command[start..].split_first() else {
        return;
    };
    let installed = ["/usr/bin/", "/usr/sbin/"];
    let name = installed
        .iter()
        .find_map(|folder| program.strip_prefix(folder));
    let name = name.unwrap_or(program);
    found.insert(name.to_owned());
    // A module of Python, which the table has beside the programs.
    if let ("python3", [option, module, ..]) = (name, arguments)
        && option == "-m"
    {
        found.insert(format!("python-{module}"));
    }
    if let Some((_, words)) = WRAPPERS.iter().find(|(name, _)| name == program) {
        let is_option = |word: &&String| word.starts_with('-') || is_assignment(word);
        let options = arguments.iter().take_while(is_option).count();
        add_started(arguments.get(options + words..).unwrap_or_default(), found);
    }
    // What a chroot holds is not of this machine.
    let is_here = command.iter().any(is_shell) && program != "chroot";
    for pair in command
        .windows(2)
        .filter(|pair| is_here && pair[1].contains(' '))
    {
        if pair[0].starts_with('-') && pair[0].ends_with('c') {
            found.extend(programs(&pair[1]));
        }
    }
}

fn is_shell(word: &String) -> bool {
    word == "sh" || word == "bash"
}

fn is_name(word: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(known)
}

fn is_assignment(word: &str) -> bool {
    let name = word.split(['=', '[', '+']).next().unwrap_or_default();
    let is_named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_named && word.contains('=')
}

#[test]
fn first_words_of_commands_are_read_wherever_they_stand() {
    let script = r##"#!/bin/sh
        # commented out
        own() { local x; inner "$1"; }
        x=1 first --option "second $(third 'no | no')" | fourth && own || fifth; $x
        case $(sixth) in no|nor) seventh ;; (not) ;; esac
        if ! eighth <(ninth) >"$no" 2>&1; then exec env A=b tenth; fi
        python3 -m module
        for no in no; do sudo /usr/sbin/eleventh; ./no; done # no
        [[ -n no && no ]] && ((no + no)); twelfth \
            no <<'END' | thirteenth
no | no
END
        list=(no no) && sh -euc 'fourteenth "$(fifteenth)"' no
        chroot x sh -c 'no; no'; no=$((1 + 2)); no=${no:-$(sixteenth)}
    "##;
    let found = programs(script);
    let expected = "chroot eighth eleventh env fifteenth fifth first fourteenth fourth inner ninth own \
        python-module python3 seventh sh \
        sixteenth sixth sudo tenth third thirteenth twelfth";
    assert_eq!(functions(script), ["own".to_owned()].into());
    assert_eq!(
        found
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        expected
    );
}
