//! The repositories below a directory.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use tracing::debug;

/// How deep below the root repositories are listed.
const MAX_DEPTH: usize = 4;
/// How many repositories are listed. More than these, or deeper ones, can be
/// opened all the same.
const MAX_LISTED: usize = 1000;

/// A repository, or a directory with repositories below it.
#[derive(Debug)]
pub(crate) struct Repos {
    root: PathBuf,
}

impl Repos {
    /// Resolves the symbolic links of `root` once.
    ///
    /// # Errors
    ///
    /// There is no such directory.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: fs::canonicalize(root)?,
        })
    }

    /// The name and the path of a repository; an empty `name` is that of the
    /// only one there is.
    ///
    /// # Errors
    ///
    /// There is no such repository, it lies outside of the root, or an empty
    /// name could mean several. The text is for the client.
    pub(crate) fn find(&self, name: &str) -> Result<(String, PathBuf), String> {
        if is_repository(&self.root) {
            let own = self.own_name();
            if name.is_empty() || name == own {
                return Ok((own, self.root.clone()));
            }
            return Err(format!(
                "there is no repository {name:?}; the only one here is {own:?}"
            ));
        }
        if name.is_empty() {
            return self.only();
        }
        // One name for each repository, however it is spelt: `a//b`, `a/./b`, `a/b/`.
        let plain: PathBuf = Path::new(name).components().collect();
        let plain = plain.to_str().expect("it is made of UTF-8");
        self.below(plain).map(|path| (plain.to_owned(), path))
    }

    fn only(&self) -> Result<(String, PathBuf), String> {
        match self.list().as_slice() {
            [] => Err(self.none_here()),
            [name] => self.find(name),
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

    fn below(&self, name: &str) -> Result<PathBuf, String> {
        let unknown = || format!("there is no repository {name:?}");
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if name.contains('\0') || !Path::new(name).components().all(plain) {
            return Err(format!("{name:?} is no path below the served directory"));
        }
        let candidates = [self.root.join(name), self.root.join(format!("{name}.git"))];
        let path = candidates
            .into_iter()
            .find(|path| is_repository(path))
            .ok_or_else(unknown)?;
        let real = fs::canonicalize(&path).map_err(|_| unknown())?;
        if real.starts_with(&self.root) {
            return Ok(real);
        }
        Err(format!("{name:?} leads out of the served directory"))
    }

    /// The names of all repositories, sorted.
    pub(crate) fn list(&self) -> Vec<String> {
        if is_repository(&self.root) {
            return vec![self.own_name()];
        }
        let mut names = Vec::new();
        self.list_below(&self.root, MAX_DEPTH, &mut names);
        names.sort_unstable();
        names
    }

    fn list_below(&self, dir: &Path, depth: usize, names: &mut Vec<String>) {
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
                names.extend(self.name_of(&path));
            } else if depth > 1 {
                self.list_below(&path, depth - 1, names);
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

/// Whether git would accept `path` as a repository (git, `is_git_directory`).
fn is_repository(path: &Path) -> bool {
    let bare = |path: &Path| path.join("HEAD").exists() && path.join("objects").is_dir();
    let dot_git = path.join(".git");
    bare(path) || bare(&dot_git) || dot_git.is_file()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn repository(path: &Path) {
        fs::create_dir_all(path.join("objects")).unwrap();
        fs::write(path.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    }

    #[test]
    fn repositories_are_found_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        repository(&dir.path().join("a.git"));
        repository(&dir.path().join("team/b/.git"));
        let repos = Repos::new(dir.path()).unwrap();
        assert_eq!(repos.list(), ["a", "team/b"]);
        assert!(repos.find("a").unwrap().1.ends_with("a.git"));
        assert!(repos.find("team/b").unwrap().1.ends_with("team/b"));
        for name in ["team//b", "team/./b", "team/b/", "team/b/."] {
            assert_eq!(repos.find(name), repos.find("team/b"), "{name}");
        }
        assert!(repos.find("").unwrap_err().contains("several"));
    }

    #[test]
    fn a_root_that_is_a_repository_is_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("one.git");
        repository(&root);
        let repos = Repos::new(&root).unwrap();
        assert_eq!(repos.find("").unwrap().0, "one");
        assert_eq!(repos.find("one").unwrap().0, "one");
        assert!(repos.find("two").is_err());
    }

    #[test]
    fn nothing_outside_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        repository(&dir.path().join("secret"));
        repository(&root.join("own"));
        symlink(dir.path().join("secret"), root.join("link")).unwrap();
        let repos = Repos::new(&root).unwrap();
        for name in [
            "../secret",
            "/etc",
            "own/../../secret",
            "link",
            "own\0",
            ".",
        ] {
            assert!(repos.find(name).is_err(), "{name}");
        }
    }
}
