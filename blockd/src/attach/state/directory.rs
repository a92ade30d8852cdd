//! The state directory: its format, and files in it that survive a crash.
//!
//! ```text
//! STATE/version          the number of this format
//!       lowers/KEY/      one export's relay, device and mount, for all who show it
//!       places/KEY/      one mountpoint's state and diff
//! ```

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context, Result, bail};
use rustix::fs::Mode;
use serde::{Serialize, de::DeserializeOwned};

use crate::atomic_file;

/// Raised when an older blockd could not use a newer one's directory.
const FORMAT: &str = "2";
/// What the first format had, which knew no version.
const FIRST_FORMAT: &str = "attachments";

/// Makes a state directory, or makes sure that it is one of this format; its
/// path as the kernel shows it.
pub(crate) fn open(state: &Path) -> Result<PathBuf> {
    check(state)?;
    let version = version_file(state);
    let make = || {
        if !version.exists() {
            private_directory(state)?;
            // Several may do this at once, and all write the same.
            let fresh = state.join(format!("version.new-{}", process::id()));
            atomic_file::replace(&version, &fresh, |mut file| {
                file.write_all(FORMAT.as_bytes())
            })?;
        }
        state.canonicalize()
    };
    make().with_context(|| {
        let state = state.display();
        format!("cannot make the state directory {state}: choose another with --state")
    })
}

/// A state directory of this format, when it is there.
pub(crate) fn find(state: &Path) -> Result<Option<PathBuf>> {
    check(state)?;
    Ok(state.canonicalize().ok())
}

/// Whether an error says that there is no room.
pub(crate) fn is_full(error: &anyhow::Error) -> bool {
    let full = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    };
    error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(full))
}

/// Fails when a state directory is there and has another format.
pub(crate) fn check(state: &Path) -> Result<()> {
    let shown = state.display();
    let found = match fs::read_to_string(version_file(state)) {
        Ok(found) => found.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !state.join(FIRST_FORMAT).exists() {
                return Ok(());
            }
            "1".to_owned()
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    };
    if found != FORMAT {
        bail!(
            "the state directory {shown} has format {found}, this blockd has format {FORMAT}: \
             detach with the blockd that made it, or choose another with --state"
        );
    }
    Ok(())
}

fn version_file(state: &Path) -> PathBuf {
    state.join("version")
}

/// Makes a directory, closed to everybody else: what lies in an upper layer
/// must not be reached past the overlay's permissions.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    Ok(rustix::fs::chmod(path, Mode::RWXU)?)
}

/// Reads a file that [`write()`] wrote; `None` when there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let parsed = serde_json::from_slice(&text);
    let parsed = parsed.with_context(|| format!("{} is not a state of blockd", path.display()))?;
    Ok(Some(parsed))
}

/// Writes a file so that a crash leaves the old or the new one, never half of
/// one: a new file, renamed over the old one, both synced. A lock must be held.
pub(crate) fn write(path: &Path, content: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    let replaced = atomic_file::replace(path, &fresh(path), |mut file| file.write_all(&text));
    replaced.with_context(|| {
        format!(
            "cannot write {}: make room there, or choose another directory with --state",
            path.display()
        )
    })
}

/// Removes a file that [`write()`] wrote, and what a kill left of one.
pub(crate) fn remove(path: &Path) {
    for file in [fresh(path), path.to_owned()] {
        let _gone = fs::remove_file(file);
    }
}

fn fresh(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// The directories below `STATE/what`, by name.
pub(crate) fn entries(state: &Path, what: &str) -> Vec<String> {
    let entries = fs::read_dir(state.join(what))
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_another_format_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        check(&state).unwrap();
        open(&state).unwrap();
        open(&state).unwrap();
        fs::write(state.join("version"), "7\n").unwrap();
        let said = open(&state).unwrap_err().to_string();
        assert!(
            said.contains("has format 7, this blockd has format 2"),
            "{said}"
        );
        fs::remove_file(state.join("version")).unwrap();
        fs::create_dir(state.join("attachments")).unwrap();
        let said = check(&state).unwrap_err().to_string();
        assert!(said.contains("has format 1"), "{said}");
    }

    #[test]
    fn what_is_no_state_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.json");
        assert_eq!(read::<u32>(&file).unwrap(), None);
        write(&file, &7).unwrap();
        assert_eq!(read::<u32>(&file).unwrap(), Some(7));
        fs::write(&file, "{").unwrap();
        let said = read::<u32>(&file).unwrap_err().to_string();
        assert!(said.contains("is not a state of blockd"), "{said}");
        assert_eq!(entries(directory.path(), ""), ["x.json"]);
    }
}
