//! What asks for more than the oldest git that is supported.

use std::{
    env,
    fs::OpenOptions,
    io::{self, Write},
    process::Command,
    thread,
};

/// Whether the git that judges is older than this version; then the test that
/// asks is skipped, and is listed in the file that `TESTS_SKIPPED` names.
pub(in crate::git) fn is_git_older(version: (u32, u32)) -> bool {
    let said = Command::new("git").arg("version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let numbers = said.trim_start_matches("git version ").split('.');
    let mut numbers = numbers.map(|number| number.trim().parse().unwrap());
    let own = (numbers.next().unwrap(), numbers.next().unwrap());
    if own < version {
        let thread = thread::current();
        let name = thread.name().unwrap_or("a test");
        let line = format!(
            "{name}: skipped, needs git {}.{} and has {}.{}\n",
            version.0, version.1, own.0, own.1
        );
        // Not captured, unlike what `print!` and `eprint!` write.
        io::stderr().write_all(line.as_bytes()).unwrap();
        if let Some(list) = env::var_os("TESTS_SKIPPED") {
            let list = OpenOptions::new().create(true).append(true).open(list);
            list.unwrap().write_all(line.as_bytes()).unwrap();
        }
    }
    own < version
}
