//! Branches, tags and HEAD.

use gix::{ObjectId, bstr::BString, reference::iter::Iter};

use super::store::message;
use crate::error::{Error, Kind, Result};

/// A branch or a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ref {
    /// The full name, such as `refs/heads/main` or `refs/tags/v1`.
    pub(crate) name: BString,
    /// The object it points to.
    pub(crate) id: ObjectId,
    /// The object that an annotated tag peels to; `None` if `id` is not a tag
    /// object.
    pub(crate) peeled: Option<ObjectId>,
}

/// The refs below `refs/heads/`, `refs/tags/` and `refs/remotes/origin/`, and
/// HEAD.
///
/// Refs whose object does not exist are omitted, since git reports a repository
/// with such refs as broken, and so are names that do not fit on a line of
/// `packed-refs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refs {
    /// The branches, by name.
    pub(crate) branches: Vec<Ref>,
    /// The tags, by name.
    pub(crate) tags: Vec<Ref>,
    /// The remote-tracking branches of `origin`, by name. Only a repository
    /// that people fetch into has any; a mirror or a central one has not.
    pub(crate) tracking: Vec<Ref>,
    /// The full name of the branch that HEAD points to, which may not exist;
    /// `None` if HEAD is detached.
    pub(crate) head: Option<BString>,
    /// The full name of the remote-tracking branch that
    /// `refs/remotes/origin/HEAD` points to.
    pub(crate) tracking_head: Option<BString>,
}

const TRACKING: &str = "refs/remotes/origin/";
const TRACKING_HEAD: &str = "refs/remotes/origin/HEAD";

/// Reads the current refs.
pub(super) fn read(repository: &gix::Repository) -> Result<Refs> {
    let platform = repository.references().map_err(unread)?;
    let mut branches = collect(platform.local_branches().map_err(unread)?);
    let mut tags = collect(platform.tags().map_err(unread)?);
    let mut tracking = collect(platform.prefixed(TRACKING).map_err(unread)?);
    tracking.retain(|branch| branch.name != TRACKING_HEAD);
    branches.sort();
    tags.sort();
    tracking.sort();
    let head = repository.head_name().map_err(unread)?;
    let tracking_head = repository
        .try_find_reference(TRACKING_HEAD)
        .map_err(unread)?;
    let tracking_head = tracking_head.and_then(|head| {
        let name = head.target().try_name()?.as_bstr().to_owned();
        Some(name).filter(|name| name.starts_with(TRACKING.as_bytes()) && fits_line(name))
    });
    Ok(Refs {
        branches,
        tags,
        tracking,
        head: head.map(|name| name.as_bstr().to_owned()),
        tracking_head,
    })
}

/// All refs whose object exists. git, too, ignores broken refs with a warning.
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

/// Whether a name can be written to `packed-refs` and to a manifest.
fn fits_line(name: &BString) -> bool {
    !name
        .iter()
        .any(|byte| byte.is_ascii_control() || *byte == b' ')
}

fn unread(error: gix::Error) -> Error {
    Error::with_source(
        Kind::Corrupt,
        format!("cannot read refs: {}", message(&error)),
        error,
    )
}
