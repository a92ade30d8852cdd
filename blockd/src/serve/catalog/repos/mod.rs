//! The repositories below a directory.

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use imagegen::git::{Repository, Wall};
use tracing::{debug, info};

use crate::access::Permissions;

/// How deep below the root repositories are listed.
const MAX_DEPTH: usize = 4;
/// How many repositories are listed. More than these, or deeper ones, can be
/// opened all the same.
const MAX_LISTED: usize = 1000;

/// What repositories may show.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The directories beside the served one that repositories may lead into, by
    /// links and alternates; `None` if they may lead anywhere.
    pub allow: Option<Vec<PathBuf>>,
    /// Whether they show what they hide from who fetches.
    pub show_hidden: bool,
}

/// A repository, or a directory with repositories below it.
#[derive(Debug)]
pub(crate) struct Repos {
    root: PathBuf,
    wall: Wall,
    show_hidden: bool,
}

impl Repos {
    /// Resolves the symbolic links of `root` once.
    ///
    /// A root that is itself a repository was named by the operator: what it
    /// consists of now, such as the repository of which it is a linked work tree
    /// and its alternates, is part of it. What is added later is not.
    ///
    /// # Errors
    ///
    /// There is no such directory.
    pub(crate) fn new(root: &Path, access: &Access) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        let show_hidden = access.show_hidden;
        let Some(allow) = &access.allow else {
            let wall = Wall::none();
            return Ok(Self {
                root,
                wall,
                show_hidden,
            });
        };
        let own = if is_repository(&root) {
            parts(&root)
        } else {
            Vec::new()
        };
        let allow = allow.iter().cloned();
        let all = [root.clone()].into_iter().chain(own).chain(allow);
        let wall = Wall::around(all).map_err(io::Error::other)?;
        Ok(Self {
            root,
            wall,
            show_hidden,
        })
    }

    /// Whether repositories show what they hide from who fetches.
    pub(crate) fn show_hidden(&self) -> bool {
        self.show_hidden
    }

    /// The directories that repositories may lead into.
    pub(crate) fn wall(&self) -> &Wall {
        &self.wall
    }

    /// Directories with what they are called in texts for clients.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&Path, String)> {
        let own = if is_repository(&self.root) {
            self.own_name()
        } else {
            String::new()
        };
        let roots = self.wall.roots().unwrap_or_default();
        let others = roots.iter().filter(|root| **root != self.root);
        let others = others.map(|root| (root.as_path(), "an allowed directory".to_owned()));
        others.chain([(self.root.as_path(), own)])
    }

    /// The name and the path of a repository; an empty `name` is that of the
    /// only one there is.
    ///
    /// # Errors
    ///
    /// There is no such repository, or none that may be opened; it lies outside of
    /// the root, or an empty name could mean several. The text is for the client.
    pub(crate) fn find(
        &self,
        name: &str,
        permissions: &Permissions,
    ) -> Result<(String, PathBuf), String> {
        if is_repository(&self.root) {
            return self.own(name, permissions);
        }
        if name.is_empty() {
            return self.only(permissions);
        }
        self.below(name, permissions)
    }

    fn own(&self, name: &str, permissions: &Permissions) -> Result<(String, PathBuf), String> {
        let own = self.own_name();
        if !permissions.cover(&own) {
            return Err(unknown(name));
        }
        if name.is_empty() || name == own {
            return Ok((own, self.root.clone()));
        }
        Err(format!(
            "there is no repository {name:?}; the only one here is {own:?}"
        ))
    }

    fn only(&self, permissions: &Permissions) -> Result<(String, PathBuf), String> {
        match self.list(permissions).as_slice() {
            [] if *permissions == Permissions::All => Err(self.none_here()),
            [] => Err(unknown("")),
            [name] => self.find(name, permissions),
            [first, ..] => Err(format!(
                "there are several repositories here: name one, like {first:?}"
            )),
        }
    }

    /// Why there is no repository: a directory that cannot be read is listed as
    /// empty.
    fn none_here(&self) -> String {
        let root = self.root.display();
        match fs::read_dir(&self.root) {
            Ok(_) => format!("there is no git repository in {root}"),
            Err(error) => format!("cannot read {root}: {error}"),
        }
    }

    /// The plain name and the path of a repository below the root.
    fn below(&self, name: &str, permissions: &Permissions) -> Result<(String, PathBuf), String> {
        let unknown = || unknown(name);
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if name.contains('\0') || !Path::new(name).components().all(plain) {
            return Err(format!("{name:?} is no path below the served directory"));
        }
        // One name for each: without `//`, `/./` and a slash at the end.
        let name: PathBuf = Path::new(name).components().collect();
        let name = name.to_str().expect("it is made of parts of a text");
        let name = name.strip_suffix(".git").unwrap_or(name);
        let name = name.trim_end_matches('/');
        // Before the disk is looked at: the answer takes no other time for one that
        // is there.
        if !permissions.cover(name) {
            return Err(unknown());
        }
        let candidates = [self.root.join(name), self.root.join(format!("{name}.git"))];
        let path = candidates
            .into_iter()
            .find(|path| is_repository(path))
            .ok_or_else(unknown)?;
        let real = fs::canonicalize(&path).map_err(|_| unknown())?;
        let roots = self.wall.roots();
        if roots.is_some_and(|roots| !roots.iter().any(|root| real.starts_with(root))) {
            return Err(format!(
                "{name:?} leads out of the served directory; serve --allow DIR permits another one"
            ));
        }
        if self.is_inside_another(&path) || self.is_inside_another(&real) {
            debug!("{} lies in another repository", real.display());
            return Err(unknown());
        }
        Ok((name.to_owned(), real))
    }

    /// Whether a path lies in another repository or its work tree, which may have
    /// any files: those that a push brought.
    fn is_inside_another(&self, path: &Path) -> bool {
        let roots = self
            .wall
            .roots()
            .unwrap_or(std::slice::from_ref(&self.root));
        let is_below = |dir: &&Path| roots.iter().any(|root| dir.starts_with(root));
        let mut above = path.ancestors().skip(1).take_while(is_below);
        above.any(is_repository)
    }

    /// The names of all repositories that may be opened, sorted.
    pub(crate) fn list(&self, permissions: &Permissions) -> Vec<String> {
        let mut names = Vec::new();
        if is_repository(&self.root) {
            names.extend(Some(self.own_name()).filter(|name| permissions.cover(name)));
        } else {
            self.list_below(&self.root, MAX_DEPTH, permissions, &mut names);
        }
        names.sort_unstable();
        names
    }

    fn list_below(
        &self,
        dir: &Path,
        depth: usize,
        permissions: &Permissions,
        names: &mut Vec<String>,
    ) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) => return debug!("{} is not listed: {error}", dir.display()),
        };
        // One that was removed meanwhile is not listed.
        for entry in entries.flatten() {
            let path = entry.path();
            if names.len() >= MAX_LISTED || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if is_repository(&path) {
                names.extend(self.name_of(&path).filter(|name| permissions.cover(name)));
            } else if depth > 1 {
                self.list_below(&path, depth - 1, permissions, names);
            }
        }
    }

    /// `None` for a name that is not UTF-8: no client can ask for it.
    fn name_of(&self, path: &Path) -> Option<String> {
        let name = path.strip_prefix(&self.root).ok()?.to_str()?;
        Some(name.strip_suffix(".git").unwrap_or(name).to_owned())
    }

    /// The name of a root that is itself a repository.
    fn own_name(&self) -> String {
        let of_dot_git = self
            .root
            .ends_with(".git")
            .then(|| self.root.parent())
            .flatten();
        let named = of_dot_git.unwrap_or(&self.root);
        let name = named
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into());
        let plain: String = name
            .chars()
            .map(|c| if "@:".contains(c) { '-' } else { c })
            .collect();
        plain.strip_suffix(".git").unwrap_or(&plain).to_owned()
    }
}

/// The directories that a repository consists of; none if it cannot be opened,
/// which its clients are told.
fn parts(repository: &Path) -> Vec<PathBuf> {
    let parts = match Repository::directories(repository) {
        Ok(parts) => parts,
        Err(error) => {
            debug!("{} cannot be opened: {error}", repository.display());
            return Vec::new();
        }
    };
    for part in parts.iter().filter(|part| !part.starts_with(repository)) {
        info!("{} is a part of {}", part.display(), repository.display());
    }
    parts
}

/// Whether git would accept `path` as a repository (git, `is_git_directory`).
fn is_repository(path: &Path) -> bool {
    let bare = |path: &Path| path.join("HEAD").exists() && path.join("objects").is_dir();
    let dot_git = path.join(".git");
    bare(path) || bare(&dot_git) || dot_git.is_file()
}

/// The same of what is not there and of what may not be opened.
fn unknown(name: &str) -> String {
    format!("there is no repository {name:?}")
}
