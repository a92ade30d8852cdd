//! `blockd diff`: which paths were changed, from the upper layer alone.

mod marks;
mod walk;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Serialize, Serializer};

use crate::attach::{
    commands::{detach::resolve, privilege},
    layers::{
        mounts::Mounts,
        upper::{Layers, Upper},
    },
    state::{attachment_dir::Place, directory, lower_dir::Lower, record::State},
};

/// What is asked.
#[derive(Clone, Debug)]
pub struct ChangesOptions {
    /// Where it is, or was, attached.
    pub mountpoint: PathBuf,
    /// Where attachments and diffs are kept.
    pub state: PathBuf,
}

/// What was changed at a mountpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Changes {
    /// Where.
    pub mountpoint: PathBuf,
    /// The export that they lie over.
    pub export: Option<String>,
    /// Whether the export was looked at too: without it, a file that was
    /// written anew under its old name counts as added.
    pub exact: bool,
    /// By path.
    pub changes: Vec<Change>,
}

/// One changed path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What became of it.
    pub kind: Kind,
    /// Below the mountpoint.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Where it was before, for a rename.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "lossy_option"
    )]
    pub from: Option<PathBuf>,
    /// Only its mode, owner or times, not its content.
    pub metadata: bool,
}

/// What became of a path; the letters are git's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// It is new.
    #[serde(rename = "A")]
    Added,
    /// It is another.
    #[serde(rename = "M")]
    Modified,
    /// It is gone, and all below it.
    #[serde(rename = "D")]
    Deleted,
    /// It has another name.
    #[serde(rename = "R")]
    Renamed,
}

impl Change {
    fn new(kind: Kind, path: &Path) -> Self {
        Self {
            kind,
            path: path.to_owned(),
            from: None,
            metadata: false,
        }
    }
}

/// Lists what was changed at a mountpoint, attached or not.
///
/// # Errors
///
/// A sentence, also when nothing is known of the mountpoint.
pub fn changes(options: &ChangesOptions) -> Result<Changes> {
    privilege::check("diff reads the marks of overlayfs")?;
    let mountpoint = resolve(&options.mountpoint)?;
    let Some(state) = directory::find(&options.state)? else {
        bail!("nothing was ever attached at {}", mountpoint.display());
    };
    let place = Place::new(&state, &mountpoint);
    let known = State::load(&place)?;
    if known.attachment.is_none() && known.diff.is_none() {
        bail!(
            "nothing is attached at {}, and no changes are kept for it",
            mountpoint.display()
        );
    }
    let mut changes = Changes {
        mountpoint,
        export: None,
        exact: true,
        changes: Vec::new(),
    };
    let Some(kept) = known.diff else {
        return Ok(changes);
    };
    if kept.upper == Upper::Block {
        bail!(
            "the changes at {} are blocks of a disk: ask git, in the work tree",
            changes.mountpoint.display()
        );
    }
    let upper = Layers::new(&place, kept.upper).upper;
    let lower = Lower::new(&state, &kept.export).mount();
    let lower = Mounts::read()?.at(&lower).map(|_| lower);
    changes.exact = lower.is_some();
    changes.export = Some(kept.export);
    if upper.exists() {
        changes.changes = walk::changes(&upper, lower.as_deref())
            .with_context(|| format!("cannot read the changes in {}", upper.display()))?;
    }
    Ok(changes)
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[expect(clippy::ref_option, reason = "serde passes the field as it is")]
fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    lossy(path.as_deref().unwrap_or(Path::new("")), serializer)
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.changes.iter().map(ToString::to_string).collect();
        write!(f, "{}", lines.join("\n"))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            Kind::Added => 'A',
            Kind::Modified => 'M',
            Kind::Deleted => 'D',
            Kind::Renamed => 'R',
        };
        match &self.from {
            Some(from) => write!(f, "{letter} {} -> {}", quoted(from), quoted(&self.path)),
            None => write!(f, "{letter} {}", quoted(&self.path)),
        }
    }
}

/// A path with a line break in it must not look like two.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.chars().any(char::is_control) {
        format!("{text:?}")
    } else {
        text.into_owned()
    }
}
