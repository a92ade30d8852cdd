//! Whether the relay of a lower layer answers, and how to end one that does not.

use std::{
    fs,
    io::{self, Read},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{mounts::Mounts, process::Identity};
use crate::attach::state::lower_dir::LowerDir;

/// A relay that answers later is given up: it answers at once, or a moment later
/// on a busy machine.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long `blockd status` waits for an answer.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a killed process may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the relay answers.
pub(crate) fn responds(lower: &LowerDir) -> bool {
    answer(lower, RESPONSE_TIMEOUT).is_some()
}

/// The status document of the relay; `None` when it does not answer in time.
pub(crate) fn status(lower: &LowerDir) -> Option<Vec<u8>> {
    answer(lower, STATUS_TIMEOUT)
}

fn answer(lower: &LowerDir, timeout: Duration) -> Option<Vec<u8>> {
    let socket = lower.status_socket();
    let (sender, receiver) = mpsc::channel();
    // A stopped relay may block connect(2) too. The thread ends when the relay
    // does.
    thread::spawn(move || {
        let read = || {
            let mut text = Vec::new();
            UnixStream::connect(socket)?.read_to_end(&mut text)?;
            Ok::<_, io::Error>(text)
        };
        let answer = read().ok().filter(|text| !text.is_empty());
        // Fails when the time was over: nobody receives it then.
        let _sent = sender.send(answer);
    });
    receiver.recv_timeout(timeout).ok().flatten()
}

/// Ends the relay: whoever waits for it gets EIO.
///
/// # Errors
///
/// When the process cannot be killed.
pub(crate) fn kill(lower: &LowerDir) -> Result<()> {
    if let Some(connection) = fuse_connection(lower)? {
        // Not there unless fusectl is mounted. To kill the relay, below, ends the
        // connection as well.
        let _aborted = fs::write(connection + "/abort", "1");
    }
    let Some(process) = Identity::alive(&lower.pid_file()) else {
        return Ok(());
    };
    if !process.kill(KILL_TIMEOUT).context("cannot end the relay")? {
        bail!("the relay, process {}, does not end", process.pid());
    }
    Ok(())
}

/// The control directory of the lower layer's FUSE file system, named by the
/// minor of its device number (Documentation/filesystems/fuse.rst).
fn fuse_connection(lower: &LowerDir) -> io::Result<Option<String>> {
    let mounts = Mounts::read()?;
    let device = mounts
        .at(&lower.device())
        .and_then(|mount| mount.device.split_once(':'));
    Ok(device.map(|(_, minor)| format!("/sys/fs/fuse/connections/{minor}")))
}
