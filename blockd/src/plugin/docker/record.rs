//! What is written down of a volume, so that it outlives the plugin.
//!
//! ```text
//! VOLUMES/NAME/  volume.json   the record
//!                tree          the mountpoint, while it is mounted
//! ```

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::{name::VolumeName, options::Given};
use crate::{atomic_file, relay::boot};

/// The number of the format.
const FORMAT: u32 = 1;

/// What is written down of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VolumeRecord {
    format: u32,
    /// The options that it was created with.
    pub(super) options: Given,
    /// By which ids Docker has mounted it, or was about to.
    pub(super) mounts: BTreeSet<String>,
    /// The boot that they are of: after another, nothing is mounted.
    boot: String,
}

/// The directory of a volume.
#[derive(Clone, Debug)]
pub(super) struct VolumeDir(PathBuf);

impl VolumeDir {
    pub(super) fn new(volumes: &Path, name: &VolumeName) -> Self {
        Self(volumes.join(name.key()))
    }

    /// Where it is mounted.
    pub(super) fn mountpoint(&self) -> PathBuf {
        self.0.join("tree")
    }

    fn record(&self) -> PathBuf {
        self.0.join("volume.json")
    }

    /// The record; `None` when there is no such volume.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is of another release.
    pub(super) fn load(&self) -> Result<Option<VolumeRecord>> {
        let path = self.record();
        let shown = path.display();
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {shown}"))?,
        };
        let of_any_format: Format = serde_json::from_slice(&text)
            .with_context(|| format!("{shown} is not a record of blockd"))?;
        if of_any_format.format != FORMAT {
            bail!(
                "{shown} has format {}, this blockd has format {FORMAT}: use the blockd that made \
                 it, or choose another directory with --volumes",
                of_any_format.format
            );
        }
        let mut record: VolumeRecord = serde_json::from_slice(&text)
            .with_context(|| format!("{shown} is not a record of blockd"))?;
        let boot = boot()?;
        if record.boot != boot {
            record.mounts.clear();
            record.boot = boot;
        }
        Ok(Some(record))
    }

    /// Writes the record, which is whole after a crash: the old one or this.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn save(&self, record: &VolumeRecord) -> Result<()> {
        let path = self.record();
        let write = || {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&self.0)?;
            let text = serde_json::to_vec_pretty(record)?;
            let temporary = path.with_extension("new");
            atomic_file::replace(&path, &temporary, |mut file| file.write_all(&text))
        };
        write().with_context(|| {
            format!(
                "cannot write {}: make room there, or choose another directory with --volumes",
                path.display()
            )
        })
    }

    /// Removes the directory of a volume that is not mounted.
    ///
    /// # Errors
    ///
    /// When it holds what blockd did not make, or cannot be removed.
    pub(super) fn remove(&self) -> Result<()> {
        let remove = || {
            for file in [self.record().with_extension("new"), self.record()] {
                match fs::remove_file(file) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::remove_dir(&self.0)
        };
        remove().with_context(|| format!("cannot remove {}", self.0.display()))
    }
}

/// What the record of every release has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl VolumeRecord {
    /// A volume that nobody has mounted.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted.
    pub(super) fn new(options: Given) -> Result<Self> {
        Ok(Self {
            format: FORMAT,
            options,
            mounts: BTreeSet::new(),
            boot: boot()?,
        })
    }
}

/// The names of all volumes. A directory that is none of blockd's is passed over.
///
/// # Errors
///
/// When the directory cannot be listed.
pub(super) fn names(volumes: &Path) -> Result<Vec<VolumeName>> {
    let list = || -> io::Result<Vec<VolumeName>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(volumes)? {
            let key = entry?.file_name();
            names.extend(key.to_str().and_then(VolumeName::of_key));
        }
        Ok(names)
    };
    list().with_context(|| format!("cannot list {}", volumes.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_its_mounts_end_with_the_boot() {
        let volumes = tempfile::tempdir().unwrap();
        let name: VolumeName = "team/project@main".parse().unwrap();
        let dir = VolumeDir::new(volumes.path(), &name);
        assert_eq!(dir.load().unwrap(), None);
        let options = Given::from([("uid".to_owned(), "7".to_owned())]);
        let mut record = VolumeRecord::new(options).unwrap();
        record.mounts.insert("id".to_owned());
        dir.save(&record).unwrap();
        assert_eq!(dir.load().unwrap().as_ref(), Some(&record));
        assert_eq!(names(volumes.path()).unwrap(), [name]);
        record.boot = "another".to_owned();
        dir.save(&record).unwrap();
        assert!(dir.load().unwrap().unwrap().mounts.is_empty());
        dir.remove().unwrap();
        assert_eq!(names(volumes.path()).unwrap(), []);
    }

    #[test]
    fn a_record_of_another_release_is_refused() {
        let volumes = tempfile::tempdir().unwrap();
        let dir = VolumeDir::new(volumes.path(), &"a".parse().unwrap());
        fs::create_dir(&dir.0).unwrap();
        for (text, words) in [
            (
                r#"{"format":2,"ids":[]}"#,
                "has format 2, this blockd has format 1",
            ),
            ("{", "is not a record of blockd"),
            (r#"{"format":1}"#, "is not a record of blockd"),
        ] {
            fs::write(dir.record(), text).unwrap();
            let error = format!("{:#}", dir.load().unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }
}
