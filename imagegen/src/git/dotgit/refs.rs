//! `HEAD`, `packed-refs` and `refs/remotes/origin/HEAD`.

use gix::{ObjectId, bstr::ByteSlice};

use crate::git::{Ref, Refs};

/// HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head<'a> {
    /// The full name of a branch.
    Branch(&'a [u8]),
    /// Detached at a commit.
    Detached(ObjectId),
}

impl<'a> Head<'a> {
    /// The branch of the repository's HEAD if that is at `commit`, else the
    /// first branch by name that is, else detached.
    pub(super) fn of(refs: &'a Refs, commit: ObjectId) -> Self {
        let candidates = || refs.branches.iter().filter(|branch| branch.id == commit);
        let own = candidates().find(|branch| Some(&branch.name) == refs.head.as_ref());
        let found = own.or_else(|| candidates().min_by_key(|branch| &branch.name));
        found.map_or(Self::Detached(commit), |branch| Self::Branch(&branch.name))
    }

    /// The full name of the branch; `None` if HEAD is detached.
    pub(super) fn branch(&self) -> Option<&'a [u8]> {
        match self {
            Self::Branch(name) => Some(name),
            Self::Detached(_) => None,
        }
    }

    /// The file `HEAD`.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Branch(name) => symbolic(name),
            Self::Detached(id) => format!("{id}\n").into_bytes(),
        }
    }
}

/// The content of a symbolic ref to `name`.
fn symbolic(name: &[u8]) -> Vec<u8> {
    [b"ref: ", name, b"\n"].concat()
}

/// The file `packed-refs`: HEAD's branch, all branches as remote-tracking
/// branches of origin, and the tags.
pub(super) fn packed(refs: &Refs, head: &Head<'_>, commit: ObjectId) -> Vec<u8> {
    let own = head.branch().map(|name| (name.to_vec(), commit, None));
    let theirs = refs
        .branches
        .iter()
        .filter_map(|branch| Some((remote(&branch.name)?, branch.id, None)));
    let tags = refs
        .tags
        .iter()
        .map(|Ref { name, id, peeled }| (name.to_vec(), *id, *peeled));
    let mut lines: Vec<_> = own.into_iter().chain(theirs).chain(tags).collect();
    lines.sort();

    let mut file = b"# pack-refs with: peeled fully-peeled sorted \n".to_vec();
    for (name, id, peeled) in lines {
        file.extend_from_slice(format!("{id} ").as_bytes());
        file.extend_from_slice(&name);
        file.push(b'\n');
        file.extend(
            peeled
                .into_iter()
                .flat_map(|id| format!("^{id}\n").into_bytes()),
        );
    }
    file
}

/// The file `refs/remotes/origin/HEAD`, a symbolic ref to the default branch of
/// the repository; `None` if that does not exist, or a branch has this path.
pub(super) fn origin_head(refs: &Refs) -> Option<Vec<u8>> {
    let head = refs.head.as_ref()?;
    let in_the_way = |name: &[u8]| {
        name.strip_prefix(b"refs/heads/HEAD")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    let exists = refs.branches.iter().any(|branch| branch.name == *head);
    let clear = !refs.branches.iter().any(|branch| in_the_way(&branch.name));
    (exists && clear)
        .then(|| remote(head))
        .flatten()
        .map(|name| symbolic(&name))
}

/// The remote-tracking branch of the branch `name`.
fn remote(name: &[u8]) -> Option<Vec<u8>> {
    let short = name.as_bstr().strip_prefix(b"refs/heads/")?;
    Some([b"refs/remotes/origin/", short].concat())
}
