//! What of the catalog a client may open.

use std::path::Path;

use blockd_nbd::{Identity, OpenError, token::Token};

use super::{name::ExportName, repos::Repos};
use crate::access::{AccessFile, Denied, Permissions};

/// The access file, if there is one.
#[derive(Debug)]
pub(super) struct AccessControl(Option<AccessFile>);

impl AccessControl {
    pub(super) fn open(file: Option<&Path>) -> anyhow::Result<Self> {
        file.map(AccessFile::open).transpose().map(Self)
    }

    pub(super) fn reload(&self) -> anyhow::Result<()> {
        self.0.as_ref().map_or(Ok(()), AccessFile::reload)
    }

    /// What a client may open. Without an access file that is everything, whatever
    /// the token.
    ///
    /// # Errors
    ///
    /// [`OpenError::Policy`] if the token is not valid, whatever it is for.
    pub(super) fn permissions(
        &self,
        by: &Identity,
        token: Option<&Token>,
    ) -> Result<Permissions, OpenError> {
        let Some(file) = &self.0 else {
            return Ok(Permissions::All);
        };
        let permissions = file.rules().permissions(by, token);
        permissions.map_err(|reason| OpenError::Policy(reason.to_owned()))
    }

    /// The names of what a client may open, each as it may be opened.
    pub(super) fn list(&self, repos: &Repos, by: &Identity) -> Vec<String> {
        let permissions = self.permissions(by, None);
        let permissions = permissions.expect("only a token is refused, and there is none");
        let names = repos.list(&permissions).into_iter();
        let permitted = names.map(|name| match permissions.revision((&name, "HEAD"), true) {
            Ok(_) => name,
            Err(_) => format!("{name}:history=none"),
        });
        permitted.collect()
    }
}

/// Narrows a name of a repository that may be opened to what may be opened of it.
///
/// # Errors
///
/// [`OpenError::Policy`] for another commit and for the history.
pub(super) fn restrict(name: &mut ExportName, permissions: &Permissions) -> Result<(), OpenError> {
    let asked = (name.repo.as_str(), name.rev.as_str());
    let revision = permissions.revision(asked, name.options.has_history());
    name.rev = revision.map_err(|denied| {
        let repo = &name.repo;
        OpenError::Policy(match denied {
            Denied::Commit(commit) => {
                format!("of {repo:?} you may open one commit: ask for {repo}@{commit}")
            }
            Denied::History => {
                format!("of {repo:?} you may open the files alone: ask for history=none")
            }
        })
    })?;
    Ok(())
}
