//! What is looked at before gix opens a repository: gix follows every link, and
//! waits for a FIFO.
//!
//! Whoever can write into the repository at this moment may change it in
//! between. What the image is made of is opened by [`Wall::open`], which is not
//! to be outrun.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    admitted::{Admitted, Stamp},
    store,
    wall::{self, Wall},
};
use crate::error::{Error, Kind, Result};

/// The longest `.git` file and `commondir` in bytes: a path.
const PATH_LIMIT: u64 = 8 << 10;
/// How deep refs and objects are looked at. The name of a ref is a path.
const MAX_DEPTH: usize = 128;

/// The files of a git directory that are read (git, `gitrepository-layout.adoc`).
const FILES: [&str; 6] = [
    "HEAD",
    "config",
    "config.worktree",
    "packed-refs",
    "shallow",
    "commondir",
];
/// Its directories, of which any file may be read.
const DIRECTORIES: [&str; 3] = ["refs", "logs", "worktrees"];

/// The directories of a repository, with canonical paths.
pub(super) struct Places {
    /// `GIT_DIR` and `GIT_COMMON_DIR`, which may be the same.
    pub(super) git: [PathBuf; 2],
    /// The object directory and its alternates.
    pub(super) objects: Vec<PathBuf>,
}

/// Finds the directories of the repository at `path`; `None` if there is none,
/// which is for gix to say.
///
/// # Errors
///
/// [`Kind::Refused`] if one of them leads out of `wall`.
pub(super) fn places(path: &Path, wall: &Wall) -> Result<Option<Places>> {
    let Some(git) = git_directory(path, wall)? else {
        return Ok(None);
    };
    let common = match read_path(&git.join("commondir"), wall)? {
        Some(common) => admit(&git.join(common), wall)?,
        None => git.clone(),
    };
    let own = common.join("objects");
    if own.symlink_metadata().is_err() {
        return Ok(Some(Places {
            git: [git, common],
            objects: Vec::new(),
        }));
    }
    admit(&own, wall)?;
    let mut damaged = Vec::new();
    let objects = store::directories(&own, wall, &mut damaged);
    if let Some(refused) = damaged.iter().find(|text| text.contains("--allow DIR")) {
        return Err(Error::new(Kind::Refused, refused));
    }
    Ok(Some(Places {
        git: [git, common],
        objects,
    }))
}

/// Where the links in git directories lead that stand for a file or directory of
/// git, as in what `git-new-workdir` makes: canonical paths.
pub(super) fn links(places: &Places) -> Vec<PathBuf> {
    let names = || FILES.iter().chain(&DIRECTORIES);
    let all = places
        .git
        .iter()
        .flat_map(|git| names().map(|name| git.join(name)));
    let links = all.filter(|path| path.is_symlink());
    links
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect()
}

/// Checks that the repository at `path` leads nowhere outside of `wall`, and has
/// nothing but regular files where git has files.
///
/// # Errors
///
/// [`Kind::Refused`] if it leads out, [`Kind::Corrupt`] if a file is none.
pub(super) fn check(path: &Path, wall: &Wall, admitted: &Admitted) -> Result<()> {
    if wall.roots().is_none() {
        return Ok(());
    }
    let Some(Places { git, objects }) = places(path, wall)? else {
        return Ok(());
    };
    let [own, common] = &git;
    let both = [own].into_iter().chain((own != common).then_some(common));
    for directory in both {
        for file in FILES {
            check_file(&directory.join(file), wall)?;
        }
        for below in DIRECTORIES {
            check_all(&directory.join(below), (wall, admitted), MAX_DEPTH)?;
        }
    }
    for directory in objects {
        check_all(&directory, (wall, admitted), MAX_DEPTH)?;
    }
    Ok(())
}

/// As gix: `.git` in a work tree, else the path itself.
fn git_directory(path: &Path, wall: &Wall) -> Result<Option<PathBuf>> {
    admit(path, wall)?;
    let dot_git = path.join(".git");
    if path.ends_with(".git") || dot_git.symlink_metadata().is_err() {
        return admit(path, wall).map(Some);
    }
    if admit(&dot_git, wall)?.is_dir() {
        return admit(&dot_git, wall).map(Some);
    }
    let text = read(&dot_git, wall)?;
    let target = text.strip_prefix(b"gitdir: ").map(trimmed);
    match target {
        Some(target) => admit(&path.join(target), wall).map(Some),
        None => Ok(None),
    }
}

/// The path in a file; `None` if there is no such file.
fn read_path(file: &Path, wall: &Wall) -> Result<Option<PathBuf>> {
    if file.symlink_metadata().is_err() {
        return Ok(None);
    }
    read(file, wall).map(|text| Some(trimmed(&text)))
}

fn trimmed(text: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let end = text.trim_ascii_end();
    PathBuf::from(std::ffi::OsStr::from_bytes(end))
}

fn read(file: &Path, wall: &Wall) -> Result<Vec<u8>> {
    let text = wall.read(file, PATH_LIMIT);
    text.map_err(|error| Error::io("read", file, error))
}

fn admit(path: &Path, wall: &Wall) -> Result<PathBuf> {
    let admitted = wall.admit(path);
    admitted.map_err(|error| Error::io("use", path, error))
}

/// Checks a file that need not exist: an unborn branch may be a symlink to
/// nothing.
fn check_file(path: &Path, wall: &Wall) -> Result<()> {
    let checked = fs::symlink_metadata(path).and_then(|metadata| {
        if metadata.is_symlink() {
            let target = wall.admit(path)?;
            return wall::regular(fs::metadata(target)?.file_type());
        }
        wall::regular(metadata.file_type())
    });
    match checked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        checked => checked.map_err(|error| Error::io("use", path, error)),
    }
}

/// Checks all files below a directory, which need not exist.
fn check_all(directory: &Path, (wall, admitted): (&Wall, &Admitted), depth: usize) -> Result<()> {
    match wall.admit(directory) {
        Ok(_) => check_below(directory, (wall, admitted), depth),
        Err(error) => unless_absent(directory, error),
    }
}

/// The same, of one that was admitted. What is not a link in it lies inside too,
/// and is not resolved once more: a repository has 256 directories of loose
/// objects. One that has not changed since it was looked through is not listed.
fn check_below(directory: &Path, (wall, admitted): (&Wall, &Admitted), depth: usize) -> Result<()> {
    let below = depth.checked_sub(1).ok_or_else(|| {
        let message = format!("{} is nested too deep", directory.display());
        Error::new(Kind::Corrupt, message)
    })?;
    let stamp = match Stamp::of(directory) {
        Ok(stamp) => stamp,
        Err(error) => return unless_absent(directory, error),
    };
    if let Some(known) = admitted.unchanged(directory, stamp) {
        let mut known = known.iter();
        return known.try_for_each(|known| check_below(known, (wall, admitted), below));
    }
    let (directories, others) = match list(directory) {
        Ok(listed) => listed,
        Err(error) => return unless_absent(directory, error),
    };
    for path in &others {
        if path.is_dir() {
            check_all(path, (wall, admitted), below)?;
        } else {
            check_file(path, wall)?;
        }
    }
    for path in &directories {
        check_below(path, (wall, admitted), below)?;
    }
    if others.is_empty() {
        admitted.keep(directory, stamp, directories);
    }
    Ok(())
}

/// The directories in a directory, and what is neither a directory nor a regular
/// file, such as a link.
fn list(directory: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut directories, mut others) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) if kind.is_file() => {}
            Ok(kind) if kind.is_dir() => directories.push(entry.path()),
            Ok(_) => others.push(entry.path()),
            // Removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok((directories, others))
}

fn unless_absent(directory: &Path, error: io::Error) -> Result<()> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(()),
        _ => Err(Error::io("list", directory, error)),
    }
}
