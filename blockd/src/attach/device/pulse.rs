//! A FUSE disk whose process hangs, and how to get rid of it.

use std::{fs, io, sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result};

use super::identity::Identity;
use crate::attach::{mounts::Mounts, place::Place};

/// A process that is well answers at once.
const PULSE: Duration = Duration::from_secs(1);
/// How long a killed process may take to end.
const END: Duration = Duration::from_secs(2);

/// Asks the process behind a place's FUSE file system something that it must
/// answer itself.
pub(in crate::attach) fn beats(place: &Place) -> bool {
    let device = place.device();
    let (answer, answered) = mpsc::channel();
    // If it does not answer, the thread ends with the abort.
    thread::spawn(move || {
        let _nobody_waits = answer.send(rustix::fs::statvfs(&device).is_ok());
    });
    answered.recv_timeout(PULSE).unwrap_or(false)
}

/// Gives a FUSE disk up: everybody who waits for it gets EIO.
pub(in crate::attach) fn stop(place: &Place) -> Result<()> {
    if let Some(connection) = connection(place)? {
        // Not there when nobody mounted fusectl; killing does the same.
        let _aborted = fs::write(connection + "/abort", "1");
    }
    match Identity::alive(&place.pid_file()) {
        Some(process) => process
            .kill(END)
            .map(drop)
            .context("cannot end the FUSE process"),
        None => Ok(()),
    }
}

/// The control directory of a place's FUSE file system, whose device is `0:N`.
fn connection(place: &Place) -> io::Result<Option<String>> {
    let mounts = Mounts::read()?;
    let device = mounts
        .at(&place.device())
        .and_then(|mount| mount.device.split_once(':'));
    Ok(device.map(|(_, minor)| format!("/sys/fs/fuse/connections/{minor}")))
}
