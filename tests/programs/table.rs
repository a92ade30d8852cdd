//! The table in `tests/setup.sh`.

use std::collections::{BTreeMap, BTreeSet};

const SETUP: &str = include_str!("../setup.sh");

/// The group that every stage has.
pub(super) const GIVEN: &str = "given";

/// `NAME="PROGRAM:PACKAGE …"`, and the stages: `NAME) wanted="$GROUP …" ;;`.
pub(super) struct Table {
    groups: BTreeMap<&'static str, Vec<(&'static str, &'static str)>>,
    stages: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

impl Table {
    pub(super) fn read() -> Self {
        let (groups, rest) = SETUP.split_once("\ncase ").expect("the stages of setup.sh");
        let (stages, _) = rest.split_once("\nesac").expect("the end of the stages");
        Self {
            groups: assignments(groups, "=\"")
                .map(|(name, words)| (name, words.split_whitespace().filter_map(pair).collect()))
                .collect(),
            stages: assignments(stages, ") wanted=\"")
                .map(|(name, words)| (name, words.split_whitespace().map(group).collect()))
                .collect(),
        }
    }

    /// The groups of a stage.
    pub(super) fn stage(&self, name: &str) -> &BTreeSet<&'static str> {
        let stage = self.stages.get(name);
        stage.unwrap_or_else(|| panic!("setup.sh knows no stage {name}"))
    }

    pub(super) fn installs(&self, stage: &str, program: &str) -> bool {
        let mut groups = self.stage(stage).iter().copied().chain([GIVEN]);
        groups.any(|group| self.groups[group].iter().any(|(name, _)| *name == program))
    }

    /// Every program, with its group.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let programs = |(group, pairs): (&&'static str, &Vec<(&'static str, _)>)| {
            let group = *group;
            let names: Vec<_> = pairs.iter().map(|(program, _)| (group, *program)).collect();
            names
        };
        self.groups.iter().flat_map(programs)
    }
}

/// Names at the start of a line, with what stands in the quotes behind.
fn assignments(
    text: &'static str,
    sign: &'static str,
) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.split(sign)
        .zip(text.split(sign).skip(1))
        .map(|(before, after)| {
            let name = before.rsplit('\n').next().expect("a line");
            let (words, _) = after.split_once('"').expect("the end of a string");
            (name, words)
        })
}

fn pair(word: &'static str) -> Option<(&'static str, &'static str)> {
    word.split_once(':')
}

fn group(word: &'static str) -> &'static str {
    word.strip_prefix('$').expect("a group")
}

/// The Debian package that a program is in; its path does not matter.
pub(crate) fn package_of(program: &str) -> &'static str {
    let program = program.rsplit('/').next().unwrap_or_default();
    let table = Table::read();
    let mut pairs = table.groups.values().flatten();
    let found = pairs.find(|(name, _)| *name == program);
    found
        .unwrap_or_else(|| panic!("{program} is not in tests/setup.sh"))
        .1
}

#[test]
fn a_package_is_found_in_the_table() {
    assert_eq!(package_of("nbdinfo"), "libnbd-bin");
    assert_eq!(package_of("/usr/bin/python3"), "python3");
    let table = Table::read();
    assert!(table.stage("demo").contains("build"));
    assert!(table.installs("unit", "sh") && !table.installs("build", "nbdkit"));
}
