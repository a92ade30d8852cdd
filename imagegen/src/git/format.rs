//! Which repositories can be read (git,
//! `Documentation/technical/repository-version.adoc`).

use crate::error::{Error, Kind, Result};

/// The extensions of the repository format that can be ignored, or are
/// supported.
const EXTENSIONS: [&str; 7] = [
    "noop",
    "noop-v1",
    "objectformat",
    "partialclone",
    "preciousobjects",
    "relativeworktrees",
    "worktreeconfig",
];

/// Whether objects may be missing, which git fetches when it needs them.
pub(super) fn is_partial(repository: &gix::Repository) -> bool {
    let config = repository.config_snapshot();
    let remotes = config.plumbing().sections_by_name("remote");
    let mut remotes = remotes.into_iter().flatten();
    let promises = remotes.any(|section| {
        let name = section.header().subsection_name();
        name.is_some_and(|name| config.boolean(&format!("remote.{name}.promisor")) == Some(true))
    });
    promises || config.string("extensions.partialClone").is_some()
}

/// Refuses repository formats and extensions that are not supported, as git's
/// `Documentation/technical/repository-version.adoc` requires.
pub(super) fn check(repository: &gix::Repository) -> Result<()> {
    let config = repository.config_snapshot();
    let unsupported = |what: String| {
        Err(Error::new(
            Kind::Unsupported,
            format!("{what}, which is not supported"),
        ))
    };
    let version = match config.try_integer("core.repositoryFormatVersion") {
        // Without one, git assumes version 0.
        Ok(version) => version.unwrap_or(0),
        Err(_) => return unsupported("the repository format is not a number".into()),
    };
    if !(0..=1).contains(&version) {
        return unsupported(format!("the repository format is {version}"));
    }
    let storage = config.string("extensions.refStorage");
    if let Some(storage) = storage.filter(|storage| *storage != "files") {
        return unsupported(format!("refs are stored as {storage}"));
    }
    let sections = config
        .plumbing()
        .sections_by_name("extensions")
        .into_iter()
        .flatten();
    let unknown = sections
        .flat_map(|section| section.value_names().collect::<Vec<_>>())
        .map(|name| name.to_ascii_lowercase())
        .find(|name| name != "refstorage" && !EXTENSIONS.contains(&name.as_str()));
    match unknown {
        Some(name) if version == 1 => unsupported(format!("it uses the extension {name}")),
        _ => Ok(()),
    }
}
