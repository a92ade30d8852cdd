//! Listing the files of a repository that belong to a snapshot.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    result,
};

use gix::{ObjectId, bstr::ByteSlice, hash};
use tempfile::TempDir;

use super::{
    commit_graph,
    manifest::{FileLine, Manifest},
    multi_pack_index::{self, Made},
};
use crate::{
    error::{Error, Kind, Result},
    git::{
        Repository, store,
        wall::{self, Wall},
    },
    numbers::to_u64,
};

/// A manifest, and the paths of its files in the repository.
pub(super) struct Survey {
    pub(super) manifest: Manifest,
    /// In the order of the manifest's files.
    pub(super) sources: Vec<PathBuf>,
    /// A multi-pack-index that was made, one of the sources.
    made: Option<Made>,
}

/// Why a survey, or the use of one, failed.
pub(super) enum SurveyError {
    /// A file was removed meanwhile, most likely by a repack: try again.
    Vanished,
    Failed(Error),
}

/// The result of using files that may be removed meanwhile.
pub(super) type Attempt<T> = result::Result<T, SurveyError>;

impl From<Error> for SurveyError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// The longest file `shallow` in bytes: a million commits.
const SHALLOW_LIMIT: u64 = 64 << 20;

type Found = BTreeMap<String, PathBuf>;

impl Survey {
    /// Surveys the current state of a repository. What the snapshot needs and the
    /// repository has not is made in a `new_directory`.
    ///
    /// Refs come first, then loose objects, then packs: a concurrent push or
    /// repack moves objects in this direction only.
    pub(super) fn of(
        repository: &Repository,
        new_directory: &dyn Fn() -> Result<TempDir>,
    ) -> Attempt<Self> {
        let format = repository.object_format();
        let (refs, origin) = repository.refs_and_origin()?;
        let wall = repository.wall();
        let shallow = shallow(&repository.common_dir().join("shallow"), wall)?;
        let mut found = list(repository)?;
        let made = make_index(&found, format, wall, new_directory)?;
        if let Some(made) = &made {
            found.insert(multi_pack_index::PATH.into(), made.path.clone());
        }
        let mut files = Vec::new();
        for (path, source) in &found {
            let made = made.as_ref().is_some_and(|made| made.path == *source);
            let wall = if made { &Wall::none() } else { wall };
            files.push(file_line(path, source, format, wall)?);
        }
        let manifest = Manifest {
            format,
            origin,
            shallow,
            refs,
            files,
        };
        Ok(Self {
            manifest,
            sources: found.into_values().collect(),
            made,
        })
    }

    /// Whether a source is not of the repository.
    pub(super) fn has_made(&self, source: &Path) -> bool {
        self.made.as_ref().is_some_and(|made| made.path == source)
    }

    /// Whether the repository still has exactly these files.
    pub(super) fn is_current(&self, repository: &Repository) -> Result<bool> {
        let made = self.made.as_ref().map(|made| &made.path);
        let sources = self.sources.iter().filter(|source| made != Some(source));
        Ok(list(repository)?.into_values().eq(sources.cloned()))
    }
}

/// The files of a snapshot by their path below `objects/`. A file that is in
/// the repository and in an alternate is taken from the repository.
fn list(repository: &Repository) -> Result<Found> {
    let format = repository.object_format();
    let wall = repository.wall();
    let directories = store::directories(&repository.object_directory(), wall, &mut Vec::new());
    let mut found = commit_graph::list(&directories, format, wall)?;
    for directory in &directories {
        list_loose(directory, format, &mut found)?;
    }
    for directory in &directories {
        list_packs(directory, &mut found)?;
    }
    if let Some(index) = multi_pack_index::existing(&directories, &found, format, wall) {
        found.insert(multi_pack_index::PATH.into(), index);
    }
    Ok(found)
}

/// Makes a multi-pack-index of many packs that have none.
fn make_index(
    found: &Found,
    format: hash::Kind,
    wall: &Wall,
    new_directory: &dyn Fn() -> Result<TempDir>,
) -> Attempt<Option<Made>> {
    let made = multi_pack_index::make(found, format, wall, new_directory);
    made.map_err(|error| match error.kind() {
        Kind::NotFound => SurveyError::Vanished,
        _ => SurveyError::Failed(error),
    })
}

fn list_loose(objects: &Path, format: hash::Kind, found: &mut Found) -> Result<()> {
    let hex = |name: &String, length| {
        name.len() == length && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let rest = format.len_in_hex() - 2;
    for fan in names(objects)?.into_iter().filter(|name| hex(name, 2)) {
        let directory = objects.join(&fan);
        let names = names(&directory)?;
        for name in names.into_iter().filter(|name| hex(name, rest)) {
            let source = directory.join(&name);
            found.entry(format!("{fan}/{name}")).or_insert(source);
        }
    }
    Ok(())
}

fn list_packs(objects: &Path, found: &mut Found) -> Result<()> {
    let directory = objects.join("pack");
    let names = names(&directory)?;
    for stem in names.iter().filter_map(|name| name.strip_suffix(".idx")) {
        let (pack, index) = (format!("pack/{stem}.pack"), format!("pack/{stem}.idx"));
        let has_pack = names.contains(&format!("{stem}.pack"));
        if !has_pack || found.contains_key(&pack) {
            continue;
        }
        found.insert(pack, directory.join(format!("{stem}.pack")));
        found.insert(index, directory.join(format!("{stem}.idx")));
        if names.contains(&format!("{stem}.rev")) {
            found.insert(
                format!("pack/{stem}.rev"),
                directory.join(format!("{stem}.rev")),
            );
        }
    }
    Ok(())
}

/// The names in a directory that a manifest can express; none if the directory
/// does not exist. git gives all files of a repository such names.
fn names(directory: &Path) -> Result<BTreeSet<String>> {
    let failed = |error| Error::io("list", directory, error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(BTreeSet::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().into_string();
        names.extend(
            name.ok()
                .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic())),
        );
    }
    Ok(names)
}

/// The size of a file, and unless it is a loose object, the checksum at its
/// end.
pub(super) fn file_line(
    path: &str,
    source: &Path,
    format: hash::Kind,
    wall: &Wall,
) -> Attempt<FileLine> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SurveyError::Vanished,
        _ => SurveyError::Failed(Error::io("read", source, error)),
    };
    let metadata = fs::metadata(source).map_err(failed)?;
    wall::regular(metadata.file_type()).map_err(failed)?;
    let loose = !path.starts_with("pack/") && !path.starts_with("info/");
    let mut line = FileLine {
        path: path.into(),
        size: metadata.len(),
        trailer: None,
    };
    if !loose {
        let mut trailer = vec![0; format.len_in_bytes()];
        let start = line.size.checked_sub(to_u64(trailer.len()));
        let start = start.ok_or_else(|| {
            let message = format!("{} is truncated", source.display());
            SurveyError::Failed(Error::new(Kind::Corrupt, message))
        })?;
        let file = wall.open(source).map_err(failed)?;
        file.read_exact_at(&mut trailer, start).map_err(failed)?;
        let id = ObjectId::try_from(trailer.as_slice());
        line.trailer = Some(id.expect("it has the length of an id").to_string());
    }
    Ok(line)
}

/// The commits at which a shallow history ends, sorted.
pub(super) fn shallow(path: &Path, wall: &Wall) -> Result<Vec<ObjectId>> {
    let text = match wall.read(path, SHALLOW_LIMIT) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let parse = |line: &[u8]| {
        ObjectId::from_hex(line.trim()).map_err(|error| {
            let message = format!("{} has a line that is not an object id", path.display());
            Error::with_source(Kind::Corrupt, message, error)
        })
    };
    let mut ids = text.lines().map(parse).collect::<Result<Vec<_>>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}
