//! The exercises: small repositories with known faults, and the parts in which
//! agents repair them.

/// A repository, and its parts.
#[derive(Debug)]
pub(super) struct Exercise {
    pub(super) name: &'static str,
    pub(super) files: &'static [File],
    pub(super) parts: &'static [Part],
}

/// A file of the repository.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

/// What one agent repairs.
#[derive(Debug)]
pub(super) struct Part {
    /// The files that are copied from the agent's view, and no others: so one
    /// agent alone cannot repair an exercise of several parts.
    pub(super) files: &'static [&'static str],
    /// The tests that must pass.
    pub(super) tests: &'static [&'static str],
}

impl File {
    /// Whether the file is executable.
    pub(super) fn is_executable(&self) -> bool {
        matches!(self.path, "tests/run" | "roman" | "bin/ledger")
    }
}

impl Part {
    /// The first message to the agent.
    pub(super) fn brief(&self) -> String {
        format!(
            "README.md says what this repository is for. Its tests {tests} fail (sh tests/run runs all). \
             Correct {files} so that they pass, as README.md describes it and not only for the inputs \
             of the tests. Change no other file, and nothing below tests/.",
            tests = self.tests.join(" and "),
            files = self.files.join(" and "),
        )
    }
}

/// The exercise of this name.
pub(super) fn named(name: &str) -> Option<&'static Exercise> {
    [&PUZZLE, &TEAM]
        .into_iter()
        .find(|known| known.name == name)
}

const RUN: File = File {
    path: "tests/run",
    text: include_str!("repositories/run.sh"),
};

macro_rules! file {
    ($folder:literal, $path:literal) => {
        file!($folder, $path, $path)
    };
    ($folder:literal, $path:literal, $source:literal) => {
        File {
            path: $path,
            text: include_str!(concat!("repositories/", $folder, "/", $source)),
        }
    };
}

/// One fault, and a test that shows part of it.
pub(super) static PUZZLE: Exercise = Exercise {
    name: "puzzle",
    files: &[
        RUN,
        file!("puzzle", "README.md"),
        file!("puzzle", "roman", "roman.sh"),
        file!("puzzle", "tests/plain.t"),
        file!("puzzle", "tests/subtracting.t"),
    ],
    parts: &[Part {
        files: &["roman"],
        tests: &["subtracting.t"],
    }],
};

/// Faults in three modules, and one in how they are combined, which shows only
/// when the modules are right.
pub(super) static TEAM: Exercise = Exercise {
    name: "team",
    files: &[
        RUN,
        file!("team", "README.md"),
        file!("team", "bin/ledger", "bin/ledger.sh"),
        file!("team", "lib/parse.sh"),
        file!("team", "lib/total.sh"),
        file!("team", "lib/report.sh"),
        file!("team", "tests/parse.t"),
        file!("team", "tests/total.t"),
        file!("team", "tests/report.t"),
        file!("team", "tests/whole.t"),
    ],
    parts: &[
        Part {
            files: &["lib/parse.sh"],
            tests: &["parse.t"],
        },
        Part {
            files: &["lib/total.sh", "lib/report.sh"],
            tests: &["total.t", "report.t"],
        },
        Part {
            files: &["bin/ledger"],
            tests: &["whole.t"],
        },
    ],
};
