//! A list of changed paths, and how it is printed.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use blockd_nbd::printable;
use serde::{Serialize, Serializer};

/// What was changed at a mountpoint.
#[derive(Clone, Debug, Serialize)]
pub struct DiffReport {
    /// The mountpoint.
    pub mountpoint: PathBuf,
    /// Canonical name of the export that the changes were made to.
    pub export: Option<String>,
    /// Whether the export was compared too. Without it, a file that was replaced
    /// under its old name counts as added.
    pub exact: bool,
    /// The changed paths, sorted.
    pub changes: Vec<Change>,
}

/// One changed path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// How it was changed.
    pub kind: ChangeKind,
    /// The path below the mountpoint. In JSON, bytes that are not UTF-8 are
    /// replaced.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// The old path of a renamed one.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "lossy_option"
    )]
    pub from: Option<PathBuf>,
    /// Only its mode, owner or times were changed, not its content.
    pub metadata: bool,
}

/// How a path was changed; the letters are those of git-diff(1) --name-status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ChangeKind {
    /// It is new.
    #[serde(rename = "A")]
    Added,
    /// Its content or metadata is another.
    #[serde(rename = "M")]
    Modified,
    /// It was removed, with all below it.
    #[serde(rename = "D")]
    Deleted,
    /// It has another path.
    #[serde(rename = "R")]
    Renamed,
}

impl Change {
    pub(super) fn new(kind: ChangeKind, path: &Path) -> Self {
        Self {
            kind,
            path: path.to_owned(),
            from: None,
            metadata: false,
        }
    }
}

fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[expect(clippy::ref_option, reason = "serde passes the field as it is")]
fn lossy_option<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => lossy(path, serializer),
        None => serializer.serialize_none(),
    }
}

impl fmt::Display for DiffReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.changes.iter().map(ToString::to_string).collect();
        write!(f, "{}", lines.join("\n"))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'M',
            ChangeKind::Deleted => 'D',
            ChangeKind::Renamed => 'R',
        };
        match &self.from {
            Some(from) => write!(f, "{letter} {} -> {}", quoted(from), quoted(&self.path)),
            None => write!(f, "{letter} {}", quoted(&self.path)),
        }
    }
}

/// A path with control characters is quoted, so that one with a line break does not
/// look like two.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    if printable(&text) == text {
        text.into_owned()
    } else {
        format!("{text:?}")
    }
}
