//! Which commit-graphs a snapshot shows (git,
//! `Documentation/technical/commit-graph.adoc`).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use gix::hash;

use crate::{
    error::{Error, Result},
    git::wall::Wall,
};

const CHAIN: &str = "info/commit-graphs/commit-graph-chain";

/// The longest chain file in bytes that is read; git merges a chain long before.
const CHAIN_LIMIT: u64 = 1 << 20;

/// The commit-graph of the first of the directories that has one, as git finds
/// it, by path: a file, or a chain of files, which may lie in any of the
/// directories. git warns of a chain that is not complete; it is left out.
///
/// # Errors
///
/// [`Kind::Io`](crate::Kind::Io) if a disk fails.
pub(super) fn list(
    directories: &[PathBuf],
    format: hash::Kind,
    wall: &Wall,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for directory in directories {
        let (path, whole) = ("info/commit-graph", directory.join("info/commit-graph"));
        if whole.is_file() {
            found.insert(path.to_owned(), whole);
        }
        found.extend(chain(directory, directories, format, wall)?);
        if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// The files of the chain in a directory; none if it is not complete.
fn chain(
    directory: &Path,
    directories: &[PathBuf],
    format: hash::Kind,
    wall: &Wall,
) -> Result<BTreeMap<String, PathBuf>> {
    let path = directory.join(CHAIN);
    let text = match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > CHAIN_LIMIT => return Ok(BTreeMap::new()),
        Ok(_) => wall.read(&path, CHAIN_LIMIT),
        Err(error) => Err(error),
    };
    let text = match text {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(BTreeMap::new()),
        Err(error) => return Err(Error::io("read", &path, error)),
    };
    let text = String::from_utf8_lossy(&text);
    let mut files = BTreeMap::from([(CHAIN.to_owned(), path)]);
    for line in text.lines() {
        let is_hash =
            line.len() == format.len_in_hex() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        let file = format!("info/commit-graphs/graph-{line}.graph");
        let mut sources = directories.iter().map(|directory| directory.join(&file));
        match sources.find(|source| is_hash && source.is_file()) {
            Some(source) => files.insert(file, source),
            None => return Ok(BTreeMap::new()),
        };
    }
    Ok(files)
}
