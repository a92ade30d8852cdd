//! Whether the server can do its work: `/readyz`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::watched::OneAtATime;
use crate::serve::catalog::CatalogOptions;

/// How many bytes must fit the state directory.
static ROOM: [u8; 64 << 10] = [0; 64 << 10];

/// What must work.
#[derive(Debug)]
pub(in crate::serve) struct Readiness {
    repos: PathBuf,
    state: PathBuf,
    /// Whether the server accepts no more clients.
    ending: AtomicBool,
    checks: OneAtATime,
}

impl Readiness {
    /// Of a server whose listeners are bound.
    pub(in crate::serve) fn new(options: &CatalogOptions) -> Self {
        Self {
            repos: options.repos.clone(),
            state: options.state.clone(),
            ending: AtomicBool::new(false),
            checks: OneAtATime::default(),
        }
    }

    /// The server accepts no more clients.
    pub(in crate::serve) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Why the server is not ready, without paths; nothing if it is.
    pub(super) async fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.ending.load(Ordering::Relaxed) {
            reasons.push("the server does not accept clients: it is shutting down".to_owned());
        }
        let (repos, state) = (self.repos.clone(), self.state.clone());
        let check = move || (read(&repos), write(&state));
        match self.checks.run(check).await {
            None => reasons.push("--repos or --state does not answer within 2 seconds".to_owned()),
            Some((read, written)) => {
                reasons.extend(
                    read.err()
                        .map(|error| format!("cannot read --repos: {error}")),
                );
                reasons.extend(written.err().map(|error| not_written(&error)));
            }
        }
        reasons
    }
}

fn not_written(error: &io::Error) -> String {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "--state is full",
        _ => "cannot write to --state",
    };
    // The error's own text may have a path.
    let reason = error.raw_os_error().map(io::Error::from_raw_os_error);
    let reason = reason.map_or_else(|| error.kind().to_string(), |error| error.to_string());
    format!("{kind}: {reason}")
}

/// A directory that is there and may be read.
fn read(repos: &Path) -> io::Result<()> {
    fs::read_dir(repos)?.next().transpose()?;
    Ok(())
}

/// A file without a name, which is gone at once.
fn write(state: &Path) -> io::Result<()> {
    tempfile::tempfile_in(state)?.write_all(&ROOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_no_path() {
        let place = tempfile::tempdir().unwrap();
        let gone = place.path().join("gone");
        assert!(read(place.path()).is_ok() && write(place.path()).is_ok());
        let reasons = [
            read(&gone).unwrap_err().to_string(),
            not_written(&write(&gone).unwrap_err()),
        ];
        for reason in reasons {
            assert!(reason.contains("No such file"), "{reason}");
            assert!(!reason.contains("gone"), "{reason}");
        }
        let full = io::Error::from_raw_os_error(28);
        assert!(not_written(&full).starts_with("--state is full: No space left"));
    }
}
