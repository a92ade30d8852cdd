//! The objects that can be reached from a commit.

#![warn(clippy::arithmetic_side_effects)]

use std::collections::HashMap;

use gix::{
    ObjectId,
    bstr::ByteSlice,
    objs::{Kind as ObjectKind, TreeRefIter, tree::EntryKind},
};

use super::bounds::Bounds;
use crate::{
    error::{Error, Kind, Result},
    git::{HiddenRefs, Objects, Ref, Refs},
    numbers::to_u64,
};

/// What an object takes in the closure and while its pack is written, in bytes.
const OBJECT_BYTES: u64 = 192;
/// How many objects are found between looks at the bounds.
const STEP: u64 = 1024;

/// The objects that can be reached from a commit, and the refs to some of them.
#[derive(Debug)]
pub(in crate::git) struct Closure {
    /// The kind of each object.
    pub(super) kinds: HashMap<ObjectId, ObjectKind>,
    /// The refs whose objects are among them.
    pub(in crate::git) refs: Refs,
    /// The commits among them at which the history ends, sorted.
    pub(in crate::git) shallow: Vec<ObjectId>,
}

struct Walk<'a> {
    objects: &'a Objects,
    shallow: &'a [ObjectId],
    bounds: &'a Bounds<'a>,
    kinds: HashMap<ObjectId, ObjectKind>,
}

impl Closure {
    pub(super) fn of(
        objects: &Objects,
        commit: ObjectId,
        (mut refs, shallow): (Refs, &[ObjectId]),
        bounds: &Bounds<'_>,
    ) -> Result<Self> {
        let mut walk = Walk {
            objects,
            shallow,
            bounds,
            kinds: HashMap::new(),
        };
        if !commit.is_null() {
            walk.commits(commit)?;
        }
        for list in [&mut refs.branches, &mut refs.tags, &mut refs.tracking] {
            list.retain(|one| walk.kinds.contains_key(one.object()));
        }
        for tag in refs.tags.iter().filter(|tag| tag.peeled.is_some()) {
            walk.tags(tag.id)?;
        }
        let is_shown = |name: &gix::bstr::BString| {
            let mut all = refs.branches.iter().chain(&refs.tracking);
            all.any(|one| one.name == *name)
        };
        let head = refs.head.take_if(|name| !is_shown(name));
        let tracking_head = refs.tracking_head.take_if(|name| !is_shown(name));
        drop((head, tracking_head));
        let kinds = walk.kinds;
        let ends = shallow.iter().filter(|id| kinds.contains_key(*id));
        let shallow = ends.copied().collect();
        Ok(Self {
            kinds,
            refs,
            shallow,
        })
    }
}

impl Closure {
    /// Whether there is nothing, as of an unborn branch.
    pub(in crate::git) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// What it takes, and its pack while that is written, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        to_u64(self.kinds.len()).saturating_mul(OBJECT_BYTES)
    }
}

impl Refs {
    /// Takes those away that are hidden.
    pub(in crate::git) fn hide(&mut self, hidden: &HiddenRefs) {
        for list in [&mut self.branches, &mut self.tags, &mut self.tracking] {
            list.retain(|one| !hidden.hide(one.name.as_bstr()));
        }
    }
}

impl Ref {
    /// What it points to, behind tags.
    fn object(&self) -> &ObjectId {
        self.peeled.as_ref().unwrap_or(&self.id)
    }
}

impl Walk<'_> {
    /// Adds an object; `false` if it was there.
    fn add(&mut self, id: ObjectId, kind: ObjectKind) -> Result<bool> {
        let count = to_u64(self.kinds.len());
        if count.is_multiple_of(STEP) {
            let objects = count.saturating_add(STEP);
            (self.bounds.memory)(objects.saturating_mul(OBJECT_BYTES))?;
        }
        match self.kinds.insert(id, kind) {
            None => Ok(true),
            Some(other) if other == kind => Ok(false),
            Some(other) => {
                let text = format!("object {id} stands for a {kind} here and a {other} there");
                Err(Error::new(Kind::Corrupt, text))
            }
        }
    }

    fn commits(&mut self, start: ObjectId) -> Result<()> {
        let mut pending = vec![start];
        while let Some(id) = pending.pop() {
            if !self.add(id, ObjectKind::Commit)? {
                continue;
            }
            let headers = |bytes: &[u8]| headers(&id, bytes);
            let (tree, parents) = self.objects.decode(&id, ObjectKind::Commit, headers)?;
            self.trees(tree)
                .map_err(|error| error.within(format!("commit {id}")))?;
            if self.shallow.binary_search(&id).is_err() {
                let new = |id: &ObjectId| !self.kinds.contains_key(id);
                pending.extend(parents.into_iter().filter(new));
            }
        }
        Ok(())
    }

    fn trees(&mut self, root: ObjectId) -> Result<()> {
        let mut pending = vec![root];
        while let Some(id) = pending.pop() {
            // git has the empty tree built in, and does not always store it.
            if id.is_empty_tree() && !self.objects.has(&id)? {
                continue;
            }
            if !self.add(id, ObjectKind::Tree)? {
                continue;
            }
            let entries = |bytes: &[u8]| entries(&id, bytes);
            for (id, kind) in self.objects.decode(&id, ObjectKind::Tree, entries)? {
                match kind {
                    ObjectKind::Tree if !self.kinds.contains_key(&id) => pending.push(id),
                    ObjectKind::Tree => {}
                    kind => drop(self.add(id, kind)?),
                }
            }
        }
        Ok(())
    }

    /// Adds the tag objects from `id` on to what they are tags of.
    fn tags(&mut self, mut id: ObjectId) -> Result<()> {
        while !self.kinds.contains_key(&id) {
            self.add(id, ObjectKind::Tag)?;
            let target = |bytes: &[u8]| {
                let line = bytes
                    .lines()
                    .next()
                    .and_then(|line| id_after(b"object ", line));
                line.ok_or_else(|| malformed(&id, "tag"))
            };
            id = self.objects.decode(&id, ObjectKind::Tag, target)?;
        }
        Ok(())
    }
}

/// The tree and the parents of a commit.
fn headers(id: &ObjectId, bytes: &[u8]) -> Result<(ObjectId, Vec<ObjectId>)> {
    let mut lines = bytes.lines();
    let tree = lines.next().and_then(|line| id_after(b"tree ", line));
    let tree = tree.ok_or_else(|| malformed(id, "commit"))?;
    let parents = lines.map_while(|line| id_after(b"parent ", line)).collect();
    Ok((tree, parents))
}

fn id_after(key: &[u8], line: &[u8]) -> Option<ObjectId> {
    ObjectId::from_hex(line.strip_prefix(key)?).ok()
}

/// The trees and blobs of a tree. Commits of other repositories are none of its
/// objects.
fn entries(id: &ObjectId, bytes: &[u8]) -> Result<Vec<(ObjectId, ObjectKind)>> {
    let mut entries = Vec::new();
    for entry in TreeRefIter::from_bytes(bytes, id.kind()) {
        let entry = entry.map_err(|_| malformed(id, "tree"))?;
        let kind = match entry.mode.kind() {
            EntryKind::Tree => ObjectKind::Tree,
            EntryKind::Commit => continue,
            EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => ObjectKind::Blob,
        };
        entries.push((entry.oid.to_owned(), kind));
    }
    Ok(entries)
}

fn malformed(id: &ObjectId, kind: &str) -> Error {
    Error::new(Kind::Corrupt, format!("{kind} {id} is malformed"))
}
