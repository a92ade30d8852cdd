//! What somebody may open.

use super::{claims::Shown, pattern::Pattern};

/// Repositories, and what of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    pub(super) repositories: Vec<Pattern>,
    /// The only commit, as 40 or 64 hexadecimal digits; `None` for all.
    pub(super) commit: Option<String>,
    pub(super) history: Shown,
}

/// What somebody may open: what any of these permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// Everything.
    All,
    /// Nothing but this.
    Only(Vec<Permission>),
}

/// Why something of a repository may not be opened that itself may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Any other commit than this.
    Commit(String),
    /// The history.
    History,
}

impl Permissions {
    /// Whether anything of a repository may be opened, by its plain name.
    pub(crate) fn cover(&self, repository: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(permissions) => permissions.iter().any(|each| each.covers(repository)),
        }
    }

    /// The revision that may be opened: the one that is asked for, or for HEAD the only
    /// commit that there is for the asker.
    ///
    /// # Errors
    ///
    /// Another commit, or the history, may not be opened. It is that of the last
    /// permission for the repository, which is that of the token.
    pub(crate) fn revision(
        &self,
        (repository, revision): (&str, &str),
        has_history: bool,
    ) -> Result<String, Denied> {
        let Self::Only(permissions) = self else {
            return Ok(revision.to_owned());
        };
        let here = permissions.iter().filter(|each| each.covers(repository));
        let mut denied = Denied::History;
        for permission in here {
            match permission.revision(revision, has_history) {
                Ok(revision) => return Ok(revision),
                Err(reason) => denied = reason,
            }
        }
        Err(denied)
    }
}

impl Permission {
    fn covers(&self, repository: &str) -> bool {
        self.repositories.iter().any(|each| each.covers(repository))
    }

    fn revision(&self, revision: &str, has_history: bool) -> Result<String, Denied> {
        let commit = self.commit.as_deref();
        if commit.is_some_and(|commit| commit != revision && revision != "HEAD") {
            return Err(Denied::Commit(commit.expect("it was compared").to_owned()));
        }
        if has_history && self.history == Shown::None {
            return Err(Denied::History);
        }
        Ok(commit.unwrap_or(revision).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permission(pattern: &str, commit: Option<&str>, history: Shown) -> Permission {
        Permission {
            repositories: vec![pattern.to_owned().try_into().unwrap()],
            commit: commit.map(str::to_owned),
            history,
        }
    }

    #[test]
    fn any_permission_is_enough() {
        let permissions = Permissions::Only(vec![
            permission("public/*", None, Shown::None),
            permission("public/app", Some("c1"), Shown::Full),
        ]);
        assert!(permissions.cover("public/app") && permissions.cover("public/x"));
        assert!(!permissions.cover("other") && !permissions.cover("public"));
        let open = |repo, revision, history| permissions.revision((repo, revision), history);
        assert_eq!(open("public/x", "main", false), Ok("main".into()));
        assert_eq!(open("public/x", "main", true), Err(Denied::History));
        assert_eq!(open("public/app", "c1", true), Ok("c1".into()));
        assert_eq!(open("public/app", "HEAD", true), Ok("c1".into()));
        assert_eq!(
            open("public/app", "c2", true),
            Err(Denied::Commit("c1".into()))
        );
        assert_eq!(open("public/app", "c2", false), Ok("c2".into()));
        assert!(Permissions::All.cover("other"));
    }
}
