//! `blockd serve` as the server.

use std::{fs, path::Path, process::Command};

use crate::harness::Bench;

impl Bench {
    /// `blockd serve` of the repositories that `make` makes in a directory.
    pub(crate) fn serving(make: impl FnOnce(&Path)) -> Self {
        Self::with_command(|directory, socket| {
            let repositories = directory.join("repositories");
            fs::create_dir(&repositories).unwrap();
            make(&repositories);
            let mut server = serve(&repositories, &directory.join("served"));
            server.arg("--unix").arg(socket);
            server
        })
    }
}

/// `blockd serve` with a state directory.
pub(crate) fn serve(repositories: &Path, state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blockd"));
    command.arg("serve").arg("--repos").arg(repositories);
    command.arg("--state").arg(state).env("BLOCKD_LOG", "error");
    command
}
