//! Repositories that hide refs from who fetches.

use imagegen::{Error, Kind, Result, git::Repository, image::History};

use super::name::ExportName;

/// Checks that an export shows nothing that its repository hides: packs have all
/// objects, those of hidden refs, too.
///
/// # Errors
///
/// [`Kind::Refused`] for the history, [`Kind::NotFound`] for a hidden ref.
pub(super) fn check(name: &ExportName, repository: &Repository) -> Result<()> {
    let hidden = repository.hidden_refs()?;
    if hidden.is_empty() {
        return Ok(());
    }
    if name.layout.is_none() && repository.names_hidden(&name.rev, &hidden)? {
        let message = format!("Reference {:?} could not be found", name.rev);
        return Err(Error::new(Kind::NotFound, message));
    }
    let options = &name.options;
    if options.has_history() && options.history == History::Full {
        let message = "it hides refs (transfer.hideRefs or uploadpack.hideRefs), and its packs \
                       have what they hide: ask for history=reachable or history=none; serve \
                       --show-hidden permits all of it";
        return Err(Error::new(Kind::Refused, message));
    }
    Ok(())
}
