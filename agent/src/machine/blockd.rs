//! Running `blockd`, and reading its output.

use std::{path::Path, process::Output};

use anyhow::{Context, Result, bail, ensure};
use blockd_nbd::uri::{Address, NbdUri};
use serde::de::DeserializeOwned;
use tokio::process::Command;

use super::user::User;

/// The URI of an export on a server.
pub(crate) fn export_uri(server: &Address, export: &str) -> String {
    let uri = NbdUri {
        address: server.clone(),
        export: export.to_owned(),
    };
    uri.to_string()
}

/// `blockd attach` of a URI at a mountpoint, with a state directory, for a user.
pub(crate) fn attach_command(
    blockd: &Path,
    uri: &str,
    (mountpoint, state): (&Path, &Path),
    user: User,
) -> Command {
    let mut attach = Command::new(blockd);
    attach.args(["attach", "--json", uri]).arg(mountpoint);
    attach.arg("--state").arg(state);
    attach.arg(format!("--uid={}", user.uid));
    attach.arg(format!("--gid={}", user.gid));
    attach
}

/// Runs a command of blockd, and decodes what it prints.
///
/// # Errors
///
/// When it cannot be run, fails, or prints anything but the expected JSON.
pub(crate) async fn json_of<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = output(command).await?;
    ensure!(output.status.success(), failure(&output));
    decode(command, &output)
}

/// [`json_of`] a command that prints JSON even if its exit status says that it failed.
///
/// # Errors
///
/// When it cannot be run, or prints anything but the expected JSON.
pub(crate) async fn json_of_any_status<T: DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = output(command).await?;
    if output.stdout.is_empty() {
        bail!(failure(&output));
    }
    decode(command, &output)
}

async fn output(command: &mut Command) -> Result<Output> {
    let output = command.kill_on_drop(true).output().await;
    output.with_context(|| format!("cannot run {}", program(command)))
}

fn decode<T: DeserializeOwned>(command: &Command, output: &Output) -> Result<T> {
    let decoded = serde_json::from_slice(&output.stdout);
    decoded.with_context(|| format!("the output of {} cannot be decoded", program(command)))
}

fn program(command: &Command) -> String {
    command.as_std().get_program().display().to_string()
}

/// The error is the last line of standard error; log lines come before it.
fn failure(output: &Output) -> String {
    let messages = String::from_utf8_lossy(&output.stderr);
    match messages.lines().next_back() {
        Some(error) => error.to_owned(),
        None => format!("blockd failed without a message: {}", output.status),
    }
}

#[cfg(test)]
mod tests {
    use blockd_nbd::uri::{Address, NbdUri};

    use super::export_uri;

    #[test]
    fn an_export_is_encoded_into_its_uri() {
        let tcp: NbdUri = "nbd://[fdaa::3]:1/".parse().unwrap();
        assert_eq!(
            export_uri(&tcp.address, "a/b@main"),
            "nbd://[fdaa::3]:1/a/b@main"
        );
        let unix = Address::Unix("/run/b d".into());
        assert_eq!(
            export_uri(&unix, "a?"),
            "nbd+unix:///a%3F?socket=/run/b%20d"
        );
    }
}
