//! Resolving a revision to a commit.

use gix::{
    ObjectId,
    bstr::{BStr, BString, ByteSlice},
    refs::FullName,
};

use super::{
    mapping::guarded,
    repository::{Repository, open, unresolved},
    revision::{self, Stage},
    store::message,
};
use crate::error::{Error, Kind, Result};

/// What a revision stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The commit; the null id if the branch is unborn.
    pub commit: ObjectId,
    /// The branch, without `refs/heads/`, if the revision names one; HEAD names
    /// the one that it is on.
    pub head: Option<BString>,
}

impl Repository {
    /// Resolves a revision to a commit: anything that `git rev-parse` accepts
    /// without a `:`. Annotated tags are peeled. HEAD, and the branch that it is
    /// on, may be unborn.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if there is no such revision, or if it is ambiguous;
    /// [`Kind::Invalid`] if `rev` is malformed or is not a commit;
    /// [`Kind::Corrupt`] if the repository is damaged.
    pub fn resolve(&self, rev: &str) -> Result<Resolved> {
        self.resolve_while(rev, &|| Ok(()))
    }

    /// The same, as long as `go_on` says so, which is asked every now and then
    /// while the history is walked.
    ///
    /// # Errors
    ///
    /// The same, and that of `go_on`.
    pub fn resolve_while(&self, rev: &str, go_on: &dyn Fn() -> Result<()>) -> Result<Resolved> {
        let resolved = guarded(|| self.resolve_stages(rev, go_on));
        resolved.map_err(|error| Error::io("read", &self.common_dir, error))?
    }

    fn resolve_stages(&self, rev: &str, go_on: &dyn Fn() -> Result<()>) -> Result<Resolved> {
        let stages = revision::stages(rev);
        let Some((Stage::Plain(first), later)) = stages.split_first() else {
            return self.resolve_now(rev, rev);
        };
        let mut resolved = self.resolve_now(first, rev)?;
        for stage in later {
            go_on()?;
            let commit = self.next_stage(resolved.commit, *stage, (rev, go_on))?;
            resolved = Resolved { commit, head: None };
        }
        Ok(resolved)
    }

    /// What a stage of the revision `shown` leads to from a commit.
    fn next_stage(
        &self,
        mut from: ObjectId,
        stage: Stage<'_>,
        (shown, go_on): (&str, &dyn Fn() -> Result<()>),
    ) -> Result<ObjectId> {
        let resolve = |rev: String| Ok(self.resolve_now(&rev, shown)?.commit);
        match stage {
            Stage::Plain(behind) => resolve(format!("{from}{behind}")),
            Stage::Back(commits) => {
                for step in revision::steps(commits) {
                    go_on()?;
                    from = resolve(format!("{from}~{step}"))?;
                }
                Ok(from)
            }
            Stage::Search(text) => {
                let repository = open(&self.path, &self.wall, &self.admitted)?;
                let found = revision::search(&repository, from, text, go_on);
                found.map_err(|error| self.here(error, shown))
            }
        }
    }

    fn here(&self, error: Error, rev: &str) -> Error {
        error.within(format!("{:?} in {}", rev, self.path.display()))
    }

    /// Resolves a revision that is, or is a part of, `shown`.
    fn resolve_now(&self, rev: &str, shown: &str) -> Result<Resolved> {
        let here = |error: Error| self.here(error, shown);
        if shown.contains(':') || shown.contains("..") {
            return Err(here(Error::new(Kind::Invalid, "not a revision")));
        }
        if rev.is_empty() || rev.starts_with('-') {
            return Err(here(Error::new(Kind::Invalid, "not a revision")));
        }
        let repository = open(&self.path, &self.wall, &self.admitted)?;
        let head = repository
            .head_name()
            .map_err(|error| here(unresolved(error)))?;
        let head = head.as_ref().map(FullName::as_bstr);
        let spec = match repository.rev_parse(rev) {
            Ok(spec) => spec,
            Err(error) => {
                if !repository.head().is_ok_and(|head| head.is_unborn()) {
                    return Err(here(self.damage().unwrap_or_else(|| unresolved(error))));
                }
                if let Some(head) = head.and_then(|name| branch(rev, name)) {
                    let (commit, head) = (ObjectId::null(self.format), Some(head));
                    return Ok(Resolved { commit, head });
                }
                if rev.starts_with("HEAD") || rev.starts_with('@') {
                    let message = format!("{} has no commits yet", self.path.display());
                    return Err(Error::new(Kind::NotFound, message));
                }
                return Err(here(unresolved(error)));
            }
        };
        let named = spec.first_reference().map(|found| found.name.as_bstr());
        let named = if is_head(rev) { head } else { named };
        let on = named.and_then(|name| branch(rev, name));
        let found = spec
            .single()
            .ok_or_else(|| here(Error::new(Kind::Invalid, "not a single revision")))?;
        let object = found.object().map_err(|error| here(unresolved(error)))?;
        let commit = object.peel_to_kind(gix::objs::Kind::Commit);
        let commit = commit.map(|commit| commit.id);
        commit
            .map(|commit| Resolved { commit, head: on })
            .map_err(|error| {
                let kind = if error.is_not_found() {
                    Kind::NotFound
                } else {
                    Kind::Invalid
                };
                here(Error::with_source(
                    kind,
                    format!("not a commit: {}", message(&error)),
                    error,
                ))
            })
    }
}

/// The branch that `rev` names, without `refs/heads/`, if it is the ref `name`
/// and nothing that is derived from one. HEAD is every name.
fn branch(rev: &str, name: &BStr) -> Option<BString> {
    let short = name.strip_prefix(b"refs/heads/")?;
    let full = name.as_bytes();
    let names = [Some(short), Some(full), full.strip_prefix(b"refs/")];
    let is_named = is_head(rev) || names.contains(&Some(rev.as_bytes()));
    is_named.then(|| short.into())
}

fn is_head(rev: &str) -> bool {
    matches!(rev, "HEAD" | "@")
}
