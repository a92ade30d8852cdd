//! `blockd status`: what is attached, through what, and how it fares.

mod progress;
mod relay;
mod show;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use serde::Serialize;

pub use self::relay::RelayStatus;
pub(super) use self::{progress::Progress, relay::ask};
use crate::attach::{
    commands::{detach::resolve, teardown},
    layers::{
        device::Via,
        mounts::Mounts,
        upper::{Layers, Upper},
    },
    state::{
        attachment_dir::Place,
        directory,
        lower_dir::Lower,
        lower_record::Record,
        mount_scope::Life,
        record::{KeptDiff, State},
    },
};

/// What is asked.
#[derive(Clone, Debug)]
pub struct StatusOptions {
    /// Only what is attached here.
    pub mountpoint: Option<PathBuf>,
    /// Where attachments and diffs are kept.
    pub state: PathBuf,
}

/// All attachments and kept diffs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// By mountpoint.
    pub attachments: Vec<AttachmentStatus>,
    /// Places whose state cannot be read, and why.
    pub unreadable: Vec<String>,
}

/// One mountpoint.
#[derive(Clone, Debug, Serialize)]
pub struct AttachmentStatus {
    /// Where.
    pub mountpoint: PathBuf,
    /// Whether it is there.
    pub state: Standing,
    /// The canonical name.
    pub export: String,
    /// The commit that it shows.
    pub commit: Option<String>,
    /// The block device.
    pub device: Option<PathBuf>,
    /// The way into the kernel.
    pub via: Option<Via>,
    /// How many other attachments use the same device.
    pub shared_with: usize,
    /// The process between the server and the kernel.
    pub relay: Option<RelayStatus>,
    /// What was changed.
    pub diff: Option<DiffStatus>,
}

/// Whether an attachment is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is mounted.
    Attached,
    /// An attach or detach was killed half way, or somebody else unmounted it.
    Broken,
    /// It was detached lazily, and somebody may still be inside.
    Lingering,
    /// Only its changes are kept.
    Detached,
}

/// Changes, and what they take.
#[derive(Clone, Debug, Serialize)]
pub struct DiffStatus {
    /// The export that they lie over.
    pub export: String,
    /// Where they are kept.
    pub upper: Upper,
    /// Files, directories and whiteouts.
    pub entries: u64,
    /// On the disk, or in memory.
    pub bytes: u64,
}

/// Looks at all attachments, or at one.
///
/// # Errors
///
/// A sentence, also when nothing is known of the mountpoint asked for.
pub fn status(options: &StatusOptions) -> Result<Status> {
    let mut status = Status::default();
    let asked = options.mountpoint.as_deref().map(resolve).transpose()?;
    if let Some(state) = directory::find(&options.state)? {
        let mut known = Known::look(&state)?;
        for (key, place) in State::all(&state) {
            match place {
                Ok(place)
                    if asked
                        .as_ref()
                        .is_some_and(|asked| *asked != place.mountpoint) => {}
                Ok(place) => status.attachments.extend(known.attachment(&key, &place)),
                Err(error) => status.unreadable.push(format!("{error:#}")),
            }
        }
    }
    status
        .attachments
        .sort_by(|one, other| one.mountpoint.cmp(&other.mountpoint));
    match asked.filter(|_| status.attachments.is_empty()) {
        Some(asked) => bail!("nothing is attached at {}", asked.display()),
        None => Ok(status),
    }
}

/// What is the same for all attachments.
struct Known {
    state: PathBuf,
    mounts: Mounts,
    life: Life,
    /// A relay is asked once.
    relays: HashMap<PathBuf, Option<RelayStatus>>,
}

impl Known {
    fn look(state: &Path) -> Result<Self> {
        Ok(Self {
            state: state.to_owned(),
            mounts: Mounts::read()?,
            life: Life::now()?,
            relays: HashMap::new(),
        })
    }

    /// `None` for a place that has nothing.
    fn attachment(&mut self, key: &str, state: &State) -> Option<AttachmentStatus> {
        let place = Place::with_key(&self.state, key, &state.mountpoint);
        let attachment = state.attachment.as_ref();
        let kept = state.diff.as_ref();
        let export = attachment
            .map(|it| &it.export)
            .or(kept.map(|it| &it.export))?;
        let lower = attachment.map_or_else(
            || Lower::new(&self.state, export),
            |attachment| attachment.lower(&place),
        );
        let standing = match attachment {
            None => Standing::Detached,
            Some(it) if !it.life.is_of_boot(&self.life) => Standing::Detached,
            Some(it) if it.lingering.is_some() => Standing::Lingering,
            Some(_) if teardown::shown(&place, &lower, &self.mounts).is_some() => {
                Standing::Attached
            }
            Some(_) => Standing::Broken,
        };
        let diff = kept.map(|kept| diff_status(&place, kept));
        let mut status = AttachmentStatus {
            mountpoint: state.mountpoint.clone(),
            state: standing,
            commit: commit(export).map(str::to_owned),
            export: export.clone(),
            device: None,
            via: None,
            shared_with: 0,
            relay: None,
            diff: diff.filter(|diff| diff.entries > 0),
        };
        if standing == Standing::Detached {
            return status.diff.is_some().then_some(status);
        }
        self.add_lower(&mut status, &lower);
        Some(status)
    }

    fn add_lower(&mut self, status: &mut AttachmentStatus, lower: &Lower) {
        let record = Record::load(lower).ok().flatten();
        status.device = record.as_ref().and_then(|record| record.path().cloned());
        status.via = record.as_ref().map(Record::via);
        let users = fs::read_dir(lower.users_directory()).map_or(0, Iterator::count);
        status.shared_with = users.saturating_sub(1);
        let asked = self.relays.entry(lower.directory().to_owned());
        let relay = asked.or_insert_with(|| ask(lower));
        status.relay.clone_from(relay);
    }
}

/// `repo@COMMIT:…`
fn commit(export: &str) -> Option<&str> {
    let (_, rest) = export.split_once('@')?;
    rest.split(':').next()
}

fn diff_status(place: &Place, kept: &KeptDiff) -> DiffStatus {
    let (mut entries, mut bytes) = (0, 0);
    let upper = match kept.upper {
        Upper::Block => place.blocks(),
        other => Layers::new(place, other).upper,
    };
    // What is changed meanwhile is counted or not.
    let _counted = count(&upper, &mut entries, &mut bytes);
    DiffStatus {
        export: kept.export.clone(),
        upper: kept.upper,
        entries,
        bytes,
    }
}

fn count(directory: &Path, entries: &mut u64, bytes: &mut u64) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        *entries += 1;
        *bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            count(&entry.path(), entries, bytes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_stands_in_the_name() {
        assert_eq!(commit("a/b@1234:layout=1:path=x@y"), Some("1234"));
        assert_eq!(commit("a/b@1234"), Some("1234"));
        assert_eq!(commit("a/b"), None);
    }
}
