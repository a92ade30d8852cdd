//! The branches and tags of a repository at one moment.

use gix::{ObjectId, bstr::BString, reference::iter::Iter};

use super::store::told;
use crate::error::{Error, Kind, Result};

/// One branch or tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ref {
    /// The full name, `refs/heads/main` or `refs/tags/v1`.
    pub name: BString,
    /// The object it names.
    pub id: ObjectId,
    /// What an annotated tag finally names; `None` when `id` is no tag object.
    pub peeled: Option<ObjectId>,
}

/// What `refs/heads/` and `refs/tags/` held, and where HEAD pointed.
///
/// Refs whose object is not there are left out: git calls a repository that
/// shows them broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    /// The branches, by name.
    pub branches: Vec<Ref>,
    /// The tags, by name.
    pub tags: Vec<Ref>,
    /// The full name of HEAD's branch, which need not exist; `None` when HEAD
    /// is detached.
    pub head: Option<BString>,
}

/// Reads the refs as they are now.
pub(super) fn read(repository: &gix::Repository) -> Result<Refs> {
    let platform = repository.references().map_err(unread)?;
    let mut branches = collect(platform.local_branches().map_err(unread)?);
    let mut tags = collect(platform.tags().map_err(unread)?);
    branches.sort();
    tags.sort();
    let head = repository.head_name().map_err(unread)?;
    Ok(Refs {
        branches,
        tags,
        head: head.map(|name| name.as_bstr().to_owned()),
    })
}

/// All refs that can be followed to an object that is there.
fn collect(refs: Iter<'_, '_>) -> Vec<Ref> {
    refs.filter_map(|reference| {
        let mut reference = reference.ok()?;
        let name = reference.name().as_bstr().to_owned();
        let id = reference.follow_to_object().ok()?.detach();
        let peeled = reference.peel_to_id().ok()?.detach();
        fits_line(&name).then_some(Ref {
            name,
            id,
            peeled: (peeled != id).then_some(peeled),
        })
    })
    .collect()
}

/// Names of refs go into files line by line, before a space.
fn fits_line(name: &BString) -> bool {
    !name
        .iter()
        .any(|byte| byte.is_ascii_control() || *byte == b' ')
}

fn unread(error: gix::Error) -> Error {
    Error::with_source(
        Kind::Corrupt,
        format!("refs cannot be read: {}", told(&error)),
        error,
    )
}
