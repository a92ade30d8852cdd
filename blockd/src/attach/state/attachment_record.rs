//! What is attached at a mountpoint, and which changes are kept for it.
//!
//! It is written down before it is made: the record says what *may* exist,
//! detach looks up what does.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{
    attachment_dir::{ATTACHMENTS, AttachmentDir},
    directory::{self, remove_empty_directory, remove_file},
    lower_dir::LowerDir,
    mount_scope::MountScope,
    upper_kind::UpperKind,
};

/// The record of one mountpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachmentRecord {
    /// The mountpoint; the directory's key is only a hash of it.
    pub(crate) mountpoint: PathBuf,
    /// Changes that are kept, attached or not.
    #[serde(rename = "diff")]
    pub(crate) changes: Option<KeptChanges>,
    /// What is attached, or was when an attach or detach was killed.
    pub(crate) attachment: Option<Attachment>,
    /// How many directories at the end of the mountpoint's path attach has made, or was
    /// about to make. An older blockd passes it over, and leaves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) made: Option<NonZeroUsize>,
}

/// Changes, and the export that they were made to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptChanges {
    /// Canonical name of the export.
    pub(crate) export: String,
    pub(crate) upper: UpperKind,
    /// Where they were last mounted with --volatile, if they were not synced since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) volatile: Option<MountScope>,
}

impl KeptChanges {
    /// Those that are about to be made, or to be gone on with.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted.
    pub(crate) fn new(export: String, upper: UpperKind) -> Result<Self> {
        let is_volatile = upper == UpperKind::Volatile;
        Ok(Self {
            export,
            upper,
            volatile: is_volatile.then(MountScope::current).transpose()?,
        })
    }

    /// Whether the machine went down while they were not synced.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted.
    pub(crate) fn may_be_incomplete(&self) -> Result<bool> {
        let scope = MountScope::current()?;
        let is_in_memory = |mounted: &MountScope| mounted.is_same_boot(&scope);
        let is_in_memory = self.volatile.as_ref().is_some_and(is_in_memory);
        Ok(self.upper == UpperKind::Volatile && !is_in_memory)
    }

    /// They are on storage, as any others.
    pub(crate) fn set_synced(&mut self) {
        self.upper = UpperKind::State;
        self.volatile = None;
    }
}

/// What is attached, or was when an attach or detach was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attachment {
    /// Canonical name of the export.
    pub(crate) export: String,
    pub(crate) shows: Shows,
    #[serde(rename = "life")]
    pub(crate) scope: MountScope,
    /// Set after a lazy detach: the device number of the overlay, `major:minor`,
    /// which exists until the last process has left it.
    pub(crate) lingering: Option<String>,
}

/// What is mounted at the mountpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shows {
    /// An overlay on the shared lower layer.
    Overlay,
    /// The shared lower layer itself, read-only.
    Lower,
    /// A lower layer of its own, mounted for writing.
    Block,
}

impl Attachment {
    /// The lower layer that it uses.
    pub(crate) fn lower(&self, dir: &AttachmentDir) -> LowerDir {
        match self.shows {
            Shows::Block => LowerDir::private(dir),
            Shows::Overlay | Shows::Lower => LowerDir::shared(dir.state(), &self.export),
        }
    }
}

impl AttachmentRecord {
    fn empty(dir: &AttachmentDir) -> Self {
        Self {
            mountpoint: dir.mountpoint().to_owned(),
            changes: None,
            attachment: None,
            made: None,
        }
    }

    /// Reads the record of a mountpoint; an empty one when there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or parsed, or belongs to another mountpoint.
    pub(crate) fn load(dir: &AttachmentDir) -> Result<Self> {
        let path = dir.record_file();
        let Some(record) = directory::read::<Self>(&path)? else {
            return Ok(Self::empty(dir));
        };
        if record.mountpoint != dir.mountpoint() {
            let other = record.mountpoint.display();
            bail!("{} belongs to {other}", path.display());
        }
        Ok(record)
    }

    pub(crate) fn save(&self, dir: &AttachmentDir) -> Result<()> {
        directory::write(&dir.record_file(), self)
    }

    /// Writes the record, or removes the mountpoint's directory when there is
    /// nothing to record. The lock must be held; it is removed too.
    ///
    /// # Errors
    ///
    /// When a file can neither be written nor removed. A directory that is not
    /// empty holds what blockd did not make, and stays.
    pub(crate) fn save_or_remove(&self, dir: &AttachmentDir) -> Result<()> {
        if self.changes.is_some() || self.attachment.is_some() || self.made.is_some() {
            return self.save(dir);
        }
        let remove = || {
            directory::remove(&dir.record_file())?;
            remove_empty_directory(&dir.tmpfs())?;
            remove_file(&dir.lock_file())?;
            remove_empty_directory(&dir.path())
        };
        remove().with_context(|| format!("cannot remove {}", dir.path().display()))
    }

    /// The records of all mountpoints with the keys of their directories; for
    /// one that cannot be read, the reason.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be listed.
    pub(crate) fn load_all(state: &Path) -> Result<Vec<(String, Result<Self>)>> {
        let read = |key: String| {
            // A directory without a record is being made or removed.
            let record = directory::read::<Self>(&AttachmentDir::record_file_of(state, &key));
            Some((key, record.transpose()?))
        };
        let keys = directory::entries(state, ATTACHMENTS)?;
        Ok(keys.into_iter().filter_map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn dir(state: &Path) -> AttachmentDir {
        let dir = AttachmentDir::new(state, Path::new("/m"));
        directory::private_directory(&dir.path()).unwrap();
        dir
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let state = tempfile::tempdir().unwrap();
        let dir = dir(state.path());
        let empty = AttachmentRecord::load(&dir).unwrap();
        assert_eq!(empty, AttachmentRecord::empty(&dir));
        let attachment = Attachment {
            export: "r@1234".to_owned(),
            shows: Shows::Overlay,
            scope: MountScope::of_boot("1"),
            lingering: Some("0:44".to_owned()),
        };
        let changes = KeptChanges {
            export: "r@1234".to_owned(),
            upper: UpperKind::State,
            volatile: None,
        };
        let record = AttachmentRecord {
            changes: Some(changes),
            attachment: Some(attachment),
            made: NonZeroUsize::new(2),
            ..empty.clone()
        };
        record.save_or_remove(&dir).unwrap();
        assert_eq!(AttachmentRecord::load(&dir).unwrap(), record);
        let all = AttachmentRecord::load_all(state.path()).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1.as_ref().unwrap(), &record);
        empty.save_or_remove(&dir).unwrap();
        assert!(!dir.path().exists());
    }

    /// What an older blockd has attached must be detached by a newer one.
    #[test]
    fn the_format_of_format_2_is_read() {
        let text = r#"{"mountpoint": "/m",
            "diff": {"export": "r@1", "upper": "tmpfs:1024"},
            "attachment": {"export": "r@1", "shows": "overlay", "lingering": null,
                "life": {"boot": "b", "namespace": "mnt:[4026531841]"}}}"#;
        let record: AttachmentRecord = serde_json::from_str(text).unwrap();
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(
            written,
            serde_json::from_str::<serde_json::Value>(text).unwrap()
        );
    }

    #[test]
    fn changes_that_were_not_synced_are_incomplete_in_another_boot() {
        let of = |upper| KeptChanges::new("r@1".to_owned(), upper).unwrap();
        assert!(!of(UpperKind::State).may_be_incomplete().unwrap());
        let mut volatile = of(UpperKind::Volatile);
        assert!(!volatile.may_be_incomplete().unwrap());
        let text = serde_json::to_string(&volatile).unwrap();
        let again: KeptChanges = serde_json::from_str(&text).unwrap();
        assert_eq!(again, volatile);
        volatile.volatile = Some(MountScope::of_boot("another"));
        assert!(volatile.may_be_incomplete().unwrap());
        volatile.set_synced();
        assert_eq!(volatile, of(UpperKind::State));
    }

    #[test]
    fn the_record_of_another_mountpoint_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let dir = dir(state.path());
        let text = r#"{"mountpoint":"/x","diff":null,"attachment":null}"#;
        fs::write(dir.record_file(), text).unwrap();
        let error = AttachmentRecord::load(&dir).unwrap_err().to_string();
        assert!(error.contains("belongs to /x"), "{error}");
    }
}
