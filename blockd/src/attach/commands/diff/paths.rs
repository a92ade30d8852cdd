//! Which changes are asked for.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, bail};

use super::change::Change;

/// Paths below a mountpoint.
pub(super) struct Paths(Vec<PathBuf>);

impl Paths {
    /// Those that were named: from the mountpoint on, as changes are listed, or from
    /// `/` on.
    ///
    /// # Errors
    ///
    /// One of them lies elsewhere.
    pub(super) fn of(named: &[PathBuf], mountpoint: &Path) -> Result<Self> {
        let below = |path: &PathBuf| {
            let below = if path.is_absolute() {
                path.strip_prefix(mountpoint).ok()
            } else {
                Some(path.as_path())
            };
            let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_));
            let mut parts = below.into_iter().flat_map(Path::components);
            let is_below = parts.all(|part| part == Component::CurDir || is_name(&part));
            let Some(below) = below.filter(|_| is_below) else {
                let (path, mountpoint) = (path.display(), mountpoint.display());
                bail!("{path} does not lie below {mountpoint}: name it from there on");
            };
            Ok(below.components().filter(is_name).collect())
        };
        named.iter().map(below).collect::<Result<_>>().map(Self)
    }

    /// Whether a change is asked for: it was made at or below one of the paths, or to
    /// a directory above it as a whole. Without paths, each is.
    pub(super) fn have(&self, change: &Change) -> bool {
        let at = |path: &Path| {
            let mut all = self.0.iter();
            all.any(|asked| path.starts_with(asked) || asked.starts_with(path))
        };
        self.0.is_empty() || at(&change.path) || change.from.as_deref().is_some_and(at)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::change::ChangeKind, *};

    fn listed(named: &[&str], change: &Change) -> bool {
        let named: Vec<_> = named.iter().map(PathBuf::from).collect();
        let paths = Paths::of(&named, Path::new("/mnt")).unwrap();
        paths.have(change)
    }

    #[test]
    fn what_lies_at_below_or_around_a_path_is_listed() {
        let change = Change::new(ChangeKind::Modified, Path::new("src/a/b"));
        for (named, expected) in [
            (&[][..], true),
            (&["src"], true),
            (&["./src/a/b/"], true),
            (&["/mnt/src/a"], true),
            (&["/mnt"], true),
            (&["other", "src/a"], true),
            (&["src/a/b/c"], true),
            (&["src/a/bc"], false),
            (&["other"], false),
        ] {
            assert_eq!(listed(named, &change), expected, "{named:?}");
        }
        let renamed = Change {
            from: Some("old/name".into()),
            ..change
        };
        assert!(listed(&["old"], &renamed) && !listed(&["name"], &renamed));
    }

    #[test]
    fn what_lies_elsewhere_is_refused() {
        for named in ["../x", "a/../b", "/etc"] {
            let paths = Paths::of(&[named.into()], Path::new("/mnt"));
            let error = paths.err().unwrap().to_string();
            assert!(error.contains("does not lie below /mnt"), "{error}");
        }
    }
}
