//! Writes the manual pages and shell completions of `blockd` and `agent`, from
//! the same declarations that `--help` prints.
//!
//! ```text
//! manuals DIRECTORY
//! DIRECTORY/man/man1/PROGRAM.1, PROGRAM-COMMAND.1
//!           bash-completion/completions/PROGRAM
//!           zsh/site-functions/_PROGRAM
//!           fish/vendor_completions.d/PROGRAM.fish
//! ```
//! The layout is that of `/usr/share`: `make install` copies it there whole.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [directory] = arguments.as_slice() else {
        return fail("usage: manuals DIRECTORY");
    };
    match write_all(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("manuals: {error:#}")),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the one location where this program speaks"
)]
fn fail(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}

/// The programs, as their command lines are declared.
fn programs() -> [(&'static str, Command); 2] {
    [
        ("blockd", blockd::cli::Cli::command()),
        ("agent", agent::cli::Cli::command()),
    ]
}

/// Writes everything below `directory`, which is made if it is missing.
fn write_all(directory: &Path) -> Result<()> {
    for (name, command) in programs() {
        pages(&directory.join("man/man1"), &command)?;
        completions(directory, name, command)?;
    }
    Ok(())
}

/// One page for the program, and one for each command that its help shows.
fn pages(directory: &Path, command: &Command) -> Result<()> {
    make_directory(directory)?;
    let command = command.clone().disable_help_subcommand(true);
    clap_mangen::generate_to(command, directory).with_context(|| cannot_write(directory))
}

/// Where each shell looks for the completions of a program.
fn completions(directory: &Path, name: &str, mut command: Command) -> Result<()> {
    let locations = [
        (Shell::Bash, "bash-completion/completions", name.to_owned()),
        (Shell::Zsh, "zsh/site-functions", format!("_{name}")),
        (
            Shell::Fish,
            "fish/vendor_completions.d",
            format!("{name}.fish"),
        ),
    ];
    for (shell, location, file) in locations {
        let location = directory.join(location);
        make_directory(&location)?;
        let written = generate_to(shell, &mut command, name, &location)
            .with_context(|| cannot_write(&location))?;
        // The generator calls bash's differently from how bash looks for it.
        fs::rename(&written, location.join(file)).with_context(|| cannot_write(&written))?;
    }
    Ok(())
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::process;

    use tempfile::TempDir;

    use super::*;

    fn written() -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path()).unwrap();
        directory
    }

    #[test]
    fn every_command_of_the_help_has_a_page() {
        let directory = written();
        for (name, command) in programs() {
            let pages = directory.path().join("man/man1");
            let of_command = |below: &Command| pages.join(format!("{name}-{}.1", below.get_name()));
            assert!(pages.join(format!("{name}.1")).exists());
            for below in command.get_subcommands() {
                let page = of_command(below);
                assert_eq!(page.exists(), !below.is_hide_set(), "{}", page.display());
                if below.is_hide_set() {
                    continue;
                }
                let text = fs::read_to_string(&page).unwrap();
                for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
                    assert!(text.contains(section), "{}: {section}", page.display());
                }
            }
        }
    }

    /// What bash offers for the last of the words that were typed.
    fn completed(directory: &Path, program: &str, words: &[&str]) -> Vec<String> {
        let script = format!(
            "source {}; COMP_WORDS=({program} {}); COMP_CWORD={}; _{program} {program} {} {}; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            directory
                .join("bash-completion/completions")
                .join(program)
                .display(),
            words.join(" "),
            words.len(),
            words.last().unwrap(),
            if words.len() > 1 {
                words[words.len() - 2]
            } else {
                program
            },
        );
        let output = process::Command::new("bash")
            .args(["--norc", "-c", &script])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes_commands_and_options() {
        let directory = written();
        assert_eq!(completed(directory.path(), "blockd", &["att"]), ["attach"]);
        assert_eq!(
            completed(directory.path(), "blockd", &["attach", "--read-o"]),
            ["--read-only"]
        );
        assert_eq!(completed(directory.path(), "agent", &["mess"]), ["message"]);
    }
}
