//! `HEAD`, `packed-refs` and `refs/remotes/origin/HEAD`.

use gix::{
    ObjectId,
    bstr::{BStr, BString, ByteSlice},
};

use crate::{
    Error, Kind, Result,
    git::{Ref, Refs},
};

const BRANCHES: &[u8] = b"refs/heads/";
const TRACKING: &[u8] = b"refs/remotes/origin/";
/// The name of a branch that would lie at the path of `refs/remotes/origin/HEAD`.
const IN_THE_WAY: &[u8] = b"refs/remotes/origin/HEAD";

/// HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    /// The name of a branch, without `refs/heads/`.
    Branch(&'a BStr),
    /// Detached at a commit.
    Detached(ObjectId),
}

impl Head<'_> {
    /// The file `HEAD`.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Branch(name) => symbolic(&branch(name)),
            Self::Detached(id) => format!("{id}\n").into_bytes(),
        }
    }

    /// The full name of the branch; `None` if HEAD is detached.
    pub(super) fn branch(&self) -> Option<BString> {
        match self {
            Self::Branch(name) => Some(branch(name)),
            Self::Detached(_) => None,
        }
    }
}

/// The full name of a branch.
fn branch(name: &BStr) -> BString {
    [BRANCHES, name.as_bytes()].concat().into()
}

/// The content of a symbolic ref to `name`.
pub(super) fn symbolic(name: &[u8]) -> Vec<u8> {
    [b"ref: ", name, b"\n"].concat()
}

/// The refs that an image shows, but for the branch that HEAD is on.
///
/// A mirror, or a repository that people push to, is itself the origin: its
/// branches are the remote-tracking ones. One that was cloned, and that people
/// work and fetch in, has remote-tracking branches, and its `remote.origin.url`
/// is that of its own origin: these branches are shown, and of its own those
/// that origin does not have.
pub(super) struct Shown<'a> {
    /// Full names, sorted.
    refs: Vec<(BString, &'a Ref)>,
    /// The remote-tracking branch that origin's HEAD is on: its full name, and
    /// the commit.
    origin_head: Option<(BString, ObjectId)>,
}

impl<'a> Shown<'a> {
    /// The refs beside `head`.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] if `head` and another branch are file and directory of
    /// one name.
    pub(super) fn of(refs: &'a Refs, head: &Head<'_>) -> Result<Self> {
        let mut shown: Vec<(BString, &Ref)> = Vec::new();
        let origin_head = if refs.tracking.is_empty() {
            let tracking = refs.branches.iter();
            shown.extend(tracking.filter_map(|own| Some((remote(&own.name)?, own))));
            refs.head.as_ref().and_then(remote)
        } else {
            let tracking = refs.tracking.iter();
            shown.extend(tracking.map(|branch| (branch.name.clone(), branch)));
            let is_origins = |name: &BString| refs.tracking.iter().any(|other| other.name == *name);
            let head = head.branch();
            let own = refs.branches.iter().filter(|own| {
                let is_head = head.as_ref() == Some(&own.name);
                !is_head && !remote(&own.name).is_some_and(|name| is_origins(&name))
            });
            let own: Vec<_> = own.map(|own| (own.name.clone(), own)).collect();
            check_room(head.as_ref(), &own)?;
            shown.extend(own);
            refs.tracking_head.clone()
        };
        let is_clear = !shown.iter().any(|(name, _)| is_in_the_way(name));
        let origin_head = origin_head.filter(|_| is_clear).and_then(|name| {
            let (_, branch) = shown.iter().find(|(other, _)| *other == name)?;
            Some((name, branch.id))
        });
        shown.extend(refs.tags.iter().map(|tag| (tag.name.clone(), tag)));
        shown.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self {
            refs: shown,
            origin_head,
        })
    }

    /// Whether there is no ref.
    pub(super) fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// The full name of HEAD's branch, if origin has a branch of that name.
    pub(super) fn upstream(&self, head: &Head<'_>) -> Option<BString> {
        let branch = head.branch()?;
        let tracking = remote(&branch)?;
        let is_shown = self.refs.iter().any(|(name, _)| *name == tracking);
        is_shown.then_some(branch)
    }

    /// The file `packed-refs`.
    pub(super) fn packed(&self) -> Vec<u8> {
        let mut file = b"# pack-refs with: peeled fully-peeled sorted \n".to_vec();
        for (name, Ref { id, peeled, .. }) in &self.refs {
            file.extend_from_slice(format!("{id} ").as_bytes());
            file.extend_from_slice(name);
            file.push(b'\n');
            file.extend(peeled.iter().flat_map(|id| format!("^{id}\n").into_bytes()));
        }
        file
    }

    /// The remote-tracking branch that `refs/remotes/origin/HEAD` points to, by
    /// its full name, and its commit; `None` if that branch does not exist, or
    /// another one has this path.
    pub(super) fn origin_head(&self) -> Option<(&BString, ObjectId)> {
        self.origin_head.as_ref().map(|(name, id)| (name, *id))
    }
}

/// Checks that no branch is in the place of a directory that another one needs.
fn check_room(head: Option<&BString>, branches: &[(BString, &Ref)]) -> Result<()> {
    let Some(head) = head else {
        return Ok(());
    };
    let is_below = |one: &BString, other: &BString| {
        one.strip_prefix(other.as_slice())
            .is_some_and(|rest| rest.starts_with(b"/"))
    };
    let mut names = branches.iter().map(|(name, _)| name);
    match names.find(|other| is_below(head, other) || is_below(other, head)) {
        None => Ok(()),
        Some(other) => {
            let (_, name) = head.split_at(BRANCHES.len());
            let name = name.as_bstr();
            let message = format!("HEAD cannot be on the branch {name}: there is {other}");
            Err(Error::new(Kind::Invalid, message))
        }
    }
}

fn is_in_the_way(name: &BString) -> bool {
    name.strip_prefix(IN_THE_WAY)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// The remote-tracking branch of the branch `name`.
fn remote(name: &BString) -> Option<BString> {
    let short = name.strip_prefix(BRANCHES)?;
    Some([TRACKING, short].concat().into())
}
