//! What was recorded, in our own state directory: a directory for each
//! repository, in it a file for each recording, in that the paths, a NUL
//! behind each.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use tempfile::NamedTempFile;

/// Older recordings go.
const RECORDINGS: usize = 8;
/// Longer recordings are cut: who reads that much reads everything.
pub(super) const PATHS: usize = 20_000;

/// The recordings of all repositories.
#[derive(Clone, Debug)]
pub(crate) struct Profiles(PathBuf);

impl Profiles {
    /// Keeps recordings below `state`.
    pub(crate) fn new(state: &Path) -> Self {
        Self(state.join("profiles"))
    }

    /// Whether anything was recorded of a repository.
    pub(crate) fn has(&self, repository: &str) -> bool {
        recordings(&self.of(repository)).is_ok_and(|found| !found.is_empty())
    }

    /// Keeps one more recording of a repository.
    pub(crate) fn add(&self, repository: &str, paths: &BTreeSet<Vec<u8>>) -> io::Result<()> {
        let folder = self.of(repository);
        fs::create_dir_all(&folder)?;
        let mut file = NamedTempFile::with_prefix_in(".", &folder)?;
        for path in paths.iter().take(PATHS) {
            file.write_all(path)?;
            file.write_all(&[0])?;
        }
        file.persist(folder.join(now()))?;
        let mut kept = recordings(&folder)?;
        let old = kept.len().saturating_sub(RECORDINGS);
        kept.drain(..old).try_for_each(fs::remove_file)
    }

    /// All paths of all recordings of a repository that are kept, sorted.
    pub(crate) fn paths(&self, repository: &str) -> io::Result<BTreeSet<Vec<u8>>> {
        let mut paths = BTreeSet::new();
        for file in recordings(&self.of(repository))? {
            let recorded = fs::read(file)?;
            let recorded = recorded.split(|byte| *byte == 0);
            paths.extend(recorded.filter(|path| !path.is_empty()).map(<[u8]>::to_vec));
        }
        Ok(paths)
    }

    /// A name may hold slashes; as one component it holds none.
    fn of(&self, repository: &str) -> PathBuf {
        let component = repository.replace('%', "%25").replace('/', "%2F");
        self.0.join(component)
    }
}

/// Sorts by time.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{:024}", since.unwrap_or_default().as_nanos())
}

/// Oldest first; what is being written has a dot in front.
fn recordings(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(paths: &[&str]) -> BTreeSet<Vec<u8>> {
        paths.iter().map(|path| path.as_bytes().to_vec()).collect()
    }

    #[test]
    fn recordings_of_one_repository_add_up_and_the_oldest_go() {
        let state = tempfile::tempdir().unwrap();
        let profiles = Profiles::new(state.path());
        assert!(profiles.paths("team/a").unwrap().is_empty());
        profiles.add("team/a", &recording(&["old"])).unwrap();
        profiles.add("team/a", &recording(&["b", "a/x"])).unwrap();
        profiles.add("team", &recording(&["other"])).unwrap();
        let both = recording(&["a/x", "b", "old"]);
        assert_eq!(profiles.paths("team/a").unwrap(), both);
        for _ in 1..RECORDINGS {
            profiles.add("team/a", &recording(&["new"])).unwrap();
        }
        let left = recording(&["a/x", "b", "new"]);
        assert_eq!(profiles.paths("team/a").unwrap(), left);
        assert_eq!(profiles.paths("team").unwrap(), recording(&["other"]));
    }
}
