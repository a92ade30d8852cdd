//! A relay that hangs, and how to get rid of it.

use std::{
    fs,
    io::{self, Read},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::attach::{
    layers::{mounts::Mounts, process::Identity},
    state::lower_dir::Lower,
};

/// A process that is well answers at once, on a busy machine a moment later.
const PULSE: Duration = Duration::from_secs(4);
/// Who only wants to know does not wait that long.
const GLANCE: Duration = Duration::from_secs(2);
/// How long a killed process may take to end.
const END: Duration = Duration::from_secs(2);

/// Asks the relay of a lower layer how it fares.
pub(crate) fn beats(lower: &Lower) -> bool {
    answer(lower, PULSE).is_some()
}

/// What the relay of a lower layer says, if it says something soon.
pub(crate) fn status(lower: &Lower) -> Option<Vec<u8>> {
    answer(lower, GLANCE)
}

fn answer(lower: &Lower, patience: Duration) -> Option<Vec<u8>> {
    let socket = lower.status_socket();
    let (answer, answered) = mpsc::channel();
    // To connect may hang too. The thread ends when the relay does.
    thread::spawn(move || {
        let read = || {
            let mut text = Vec::new();
            UnixStream::connect(socket)?.read_to_end(&mut text)?;
            Ok::<_, io::Error>(text)
        };
        // Nobody may be waiting any more.
        let _told = answer.send(read().ok().filter(|text| !text.is_empty()));
    });
    answered.recv_timeout(patience).ok().flatten()
}

/// Gives a relay up: everybody who waits for it gets EIO.
pub(crate) fn stop(lower: &Lower) -> Result<()> {
    if let Some(connection) = connection(lower)? {
        // Not there when nobody mounted fusectl; killing does the same.
        let _aborted = fs::write(connection + "/abort", "1");
    }
    match Identity::alive(&lower.pid_file()) {
        Some(process) => process.kill(END).map(drop).context("cannot end the relay"),
        None => Ok(()),
    }
}

/// The control directory of a lower layer's FUSE file system, whose device is
/// `0:N`.
fn connection(lower: &Lower) -> io::Result<Option<String>> {
    let mounts = Mounts::read()?;
    let device = mounts
        .at(&lower.device())
        .and_then(|mount| mount.device.split_once(':'));
    Ok(device.map(|(_, minor)| format!("/sys/fs/fuse/connections/{minor}")))
}
