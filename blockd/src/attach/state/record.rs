//! What is attached at a place, written down before it is made.
//!
//! The file says what *may* exist; detach looks what does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::attach::{
    layers::upper::Upper,
    state::{
        attachment_dir::{PLACES, Place},
        directory,
        lower_dir::Lower,
        mount_scope::Life,
    },
};

/// The state of one mountpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Where; the key of the directory is only a hash of it.
    pub(crate) mountpoint: PathBuf,
    pub(crate) diff: Option<KeptDiff>,
    /// What is attached, or half attached.
    pub(crate) attachment: Option<Attachment>,
}

/// A diff, and what it lies over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptDiff {
    /// Canonical name of the export.
    pub(crate) export: String,
    pub(crate) upper: Upper,
}

/// An attachment that exists, or began to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    /// Canonical name of the export.
    pub(crate) export: String,
    pub(crate) shows: Shows,
    pub(crate) life: Life,
    /// It was detached lazily: `major:minor` of the overlay, which goes when
    /// the last process leaves it.
    pub(crate) lingering: Option<String>,
}

/// What is seen at the mountpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shows {
    /// An overlay over the shared lower layer.
    Overlay,
    /// The shared lower layer itself.
    Lower,
    /// A file system of its own, which is written to.
    Block,
}

impl Attachment {
    /// What it is attached through.
    pub(crate) fn lower(&self, place: &Place) -> Lower {
        match self.shows {
            Shows::Block => Lower::own(place),
            Shows::Overlay | Shows::Lower => Lower::new(place.state(), &self.export),
        }
    }
}

impl State {
    fn new(place: &Place) -> Self {
        let mountpoint = place.mountpoint().to_owned();
        Self {
            mountpoint,
            diff: None,
            attachment: None,
        }
    }

    /// Reads the state of a place; a place that was never used has an empty one.
    pub(crate) fn load(place: &Place) -> Result<Self> {
        let path = place.state_file();
        let state = directory::read(&path)?.unwrap_or_else(|| Self::new(place));
        if state.mountpoint != place.mountpoint() {
            bail!(
                "{} belongs to {}",
                path.display(),
                state.mountpoint.display()
            );
        }
        Ok(state)
    }

    pub(crate) fn save(&self, place: &Place) -> Result<()> {
        directory::write(&place.state_file(), self)
    }

    /// Writes it down, or forgets the place when there is nothing to say of it.
    /// The lock must be held, and goes with the place.
    pub(crate) fn save_or_forget(&self, place: &Place) -> Result<()> {
        if self.diff.is_some() || self.attachment.is_some() {
            return self.save(place);
        }
        // What is not empty is somebody's, and stays.
        directory::remove(&place.state_file());
        let _gone = fs::remove_dir(place.memory());
        let _gone = fs::remove_file(place.lock_file());
        let _gone = fs::remove_dir(place.directory());
        Ok(())
    }

    /// All places of a state directory, those that cannot be read with why.
    pub(crate) fn all(state: &Path) -> Vec<(String, Result<Self>)> {
        let keys = directory::entries(state, PLACES);
        let read = |key: String| {
            let path = Place::with_key(state, &key, "".as_ref()).state_file();
            // A place without a state is being made, or being forgotten.
            let found = directory::read::<Self>(&path).transpose()?;
            Some((key, found))
        };
        keys.into_iter().filter_map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &Path) -> Place {
        let place = Place::new(directory, Path::new("/m"));
        directory::private_directory(place.directory()).unwrap();
        place
    }

    #[test]
    fn a_state_is_read_back_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        assert_eq!(State::load(&place).unwrap(), State::new(&place));
        let attachment = Attachment {
            export: "r@1234".to_owned(),
            shows: Shows::Overlay,
            life: Life::of_boot("1"),
            lingering: Some("0:44".to_owned()),
        };
        let diff = KeptDiff {
            export: "r@1234".to_owned(),
            upper: Upper::State,
        };
        let state = State {
            diff: Some(diff),
            attachment: Some(attachment),
            ..State::new(&place)
        };
        state.save_or_forget(&place).unwrap();
        assert_eq!(State::load(&place).unwrap(), state);
        let all = State::all(directory.path());
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1.as_ref().unwrap(), &state);
        State::new(&place).save_or_forget(&place).unwrap();
        assert!(!place.directory().exists());
    }

    #[test]
    fn a_state_of_another_place_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(directory.path());
        let text = r#"{"mountpoint":"/x","diff":null,"attachment":null}"#;
        fs::write(place.state_file(), text).unwrap();
        let said = State::load(&place).unwrap_err().to_string();
        assert!(said.contains("belongs to /x"), "{said}");
    }
}
