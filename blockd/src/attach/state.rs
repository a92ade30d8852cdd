//! What is attached, written down before it is made.
//!
//! The file says what *may* exist; detach looks what does. It is written
//! whole (a new file, renamed over the old one, both synced), so that a crash
//! leaves the old or the new state, never half of one.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::place::Place;

/// How long a lock is waited for.
const MOMENT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Raised when an older blockd could not read a newer one's file.
const VERSION: u32 = 1;

/// The state of one mountpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    /// Where; the key of the directory is only a hash of it.
    mountpoint: PathBuf,
    /// The canonical export that the diff in `upper` lies over.
    pub(super) diff: Option<String>,
    /// What is attached, or half attached.
    pub(super) attachment: Option<Attachment>,
}

/// An attachment that exists, or began to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attachment {
    /// Canonical name of the export.
    pub(super) export: String,
    pub(super) device: Device,
    /// It was detached lazily: it goes when the last process leaves it.
    pub(super) lingering: bool,
}

/// What brings the blocks to this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Device {
    /// Our FUSE process, and a loop device on its file.
    Fuse,
    /// The kernel's own client.
    Nbd {
        /// `/dev/nbdN`.
        path: PathBuf,
        /// Bytes of the export.
        size: u64,
        /// We know that it is connected for us.
        connected: bool,
    },
}

impl State {
    pub(super) fn new(place: &Place) -> Self {
        let mountpoint = place.mountpoint().to_owned();
        Self {
            version: VERSION,
            mountpoint,
            diff: None,
            attachment: None,
        }
    }

    /// Reads the state of a place; a place that was never used has an empty one.
    pub(super) fn load(place: &Place) -> Result<Self> {
        let path = place.state_file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::new(place)),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let state: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a state of blockd", path.display()))?;
        if state.version != VERSION {
            bail!(
                "{} was written by another version of blockd",
                path.display()
            );
        }
        if state.mountpoint != place.mountpoint() {
            bail!(
                "{} belongs to {}",
                path.display(),
                state.mountpoint.display()
            );
        }
        Ok(state)
    }

    /// Writes the state so that it survives a crash.
    pub(super) fn save(&self, place: &Place) -> Result<()> {
        let path = place.state_file();
        self.write(place)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn write(&self, place: &Place) -> io::Result<()> {
        let path = place.state_file();
        let fresh = path.with_extension("json.new");
        let mut file = File::create(&fresh)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.sync_data()?;
        fs::rename(&fresh, &path)?;
        File::open(place.directory())?.sync_all()
    }
}

/// Held while one blockd works on a place.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file")] File);

impl Lock {
    /// Waits a moment for another blockd: it seldom takes longer, and one that
    /// was killed holds the lock until the process it was starting has begun.
    pub(super) fn take(place: &Place) -> Result<Self> {
        Self::take_within(place, MOMENT)
    }

    fn take_within(place: &Place, patience: Duration) -> Result<Self> {
        let path = place.lock_file();
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < patience => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    bail!(
                        "another blockd is at work on {}",
                        place.mountpoint().display()
                    )
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn place(directory: &Path) -> Place {
        let place = Place::new(directory, Path::new("/m"));
        place.create().unwrap();
        place
    }

    #[test]
    fn a_state_is_read_back_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        assert_eq!(State::load(&place).unwrap(), State::new(&place));
        let device = Device::Nbd {
            path: "/dev/nbd3".into(),
            size: 4096,
            connected: true,
        };
        let export = "r@1234".to_owned();
        let attachment = Attachment {
            export,
            device,
            lingering: false,
        };
        let state = State {
            diff: Some("r@1234".to_owned()),
            attachment: Some(attachment),
            ..State::new(&place)
        };
        state.save(&place).unwrap();
        assert_eq!(State::load(&place).unwrap(), state);
    }

    #[test]
    fn what_is_no_state_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        let error = |text: &str| {
            fs::write(place.state_file(), text).unwrap();
            format!("{:#}", State::load(&place).unwrap_err())
        };
        assert!(error("{").contains("is not a state of blockd"));
        assert!(
            error(r#"{"version":2,"mountpoint":"/m","diff":null,"attachment":null}"#)
                .contains("another version")
        );
        assert!(
            error(r#"{"version":1,"mountpoint":"/x","diff":null,"attachment":null}"#)
                .contains("belongs to /x")
        );
    }

    #[test]
    fn only_one_works_on_a_place() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        let held = Lock::take(&place).unwrap();
        assert!(
            Lock::take(&place)
                .unwrap_err()
                .to_string()
                .contains("another blockd")
        );
        drop(held);
        drop(Lock::take(&place).unwrap());
    }
}
