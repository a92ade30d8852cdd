//! What of a served repository a snapshot shows, and where it lies now.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    result,
};

use gix::{ObjectId, bstr::ByteSlice, hash};

use super::manifest::{FileLine, Manifest};
use crate::{
    error::{Error, Kind, Result},
    git::{Repository, store, width::to_u64},
};

/// A manifest, and where its files lie at this moment.
pub(super) struct Survey {
    pub(super) manifest: Manifest,
    /// In the order of the manifest's files.
    pub(super) places: Vec<PathBuf>,
}

/// What may happen to a file of somebody else's while we look at it.
pub(super) enum Trouble {
    /// A repack took it away: look again.
    Vanished,
    Failed(Error),
}

/// Something done with files that a repack may take away.
pub(super) type Attempt<T> = result::Result<T, Trouble>;

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Found = BTreeMap<String, PathBuf>;

impl Survey {
    /// Looks at the repository as it is now.
    ///
    /// Refs first, then loose objects, then packs: whatever moves while we
    /// look moves in that direction.
    pub(super) fn of(repository: &Repository) -> Attempt<Self> {
        let format = repository.object_format();
        let refs = repository.refs()?;
        let shallow = shallow(&repository.common_dir().join("shallow"))?;
        let origin = repository.origin()?;
        let origin = origin.unwrap_or_else(|| repository.own_path());
        let found = list(repository);
        let mut files = Vec::new();
        for (path, place) in &found {
            files.push(file_line(path, place, format)?);
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
            places: found.into_values().collect(),
        })
    }

    /// Whether the repository still has the same files, at the same places.
    pub(super) fn still_holds(&self, repository: &Repository) -> bool {
        list(repository)
            .into_values()
            .eq(self.places.iter().cloned())
    }
}

/// The files that a snapshot would show, by their path below `objects/`. What
/// the repository and an alternate both have is taken from the repository.
fn list(repository: &Repository) -> Found {
    let mut found = Found::new();
    let own = repository.object_directory();
    let directories = store::directories(&own, &mut Vec::new());
    list_commit_graphs(&own, &mut found);
    for directory in &directories {
        list_loose(directory, repository.object_format(), &mut found);
    }
    for directory in &directories {
        list_packs(directory, &mut found);
    }
    found
}

fn list_commit_graphs(objects: &Path, found: &mut Found) {
    let mut add = |path: String| {
        let place = objects.join(&path);
        if place.is_file() {
            found.insert(path, place);
        }
    };
    add("info/commit-graph".into());
    add("info/commit-graphs/commit-graph-chain".into());
    for name in names(&objects.join("info/commit-graphs")) {
        if name.strip_suffix(".graph").is_some() {
            add(format!("info/commit-graphs/{name}"));
        }
    }
}

fn list_loose(objects: &Path, format: hash::Kind, found: &mut Found) {
    let hex = |name: &String, length| {
        name.len() == length && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let rest = format.len_in_hex().saturating_sub(2);
    for fan in names(objects).into_iter().filter(|name| hex(name, 2)) {
        let directory = objects.join(&fan);
        for name in names(&directory).into_iter().filter(|name| hex(name, rest)) {
            let place = directory.join(&name);
            found.entry(format!("{fan}/{name}")).or_insert(place);
        }
    }
}

fn list_packs(objects: &Path, found: &mut Found) {
    let directory = objects.join("pack");
    let names = names(&directory);
    for stem in names.iter().filter_map(|name| name.strip_suffix(".idx")) {
        let (pack, index) = (format!("pack/{stem}.pack"), format!("pack/{stem}.idx"));
        let there = names.contains(&format!("{stem}.pack"));
        if !there || found.contains_key(&pack) {
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
}

/// The names in a directory that a manifest can hold; none if it is not there.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
        .collect()
}

/// The size of a file, and the checksum it ends with unless it is a loose
/// object.
pub(super) fn file_line(path: &str, place: &Path, format: hash::Kind) -> Attempt<FileLine> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Trouble::Vanished,
        _ => Trouble::Failed(Error::io("read", place, error)),
    };
    let about = fs::metadata(place).map_err(failed)?;
    let loose = !path.starts_with("pack/") && !path.starts_with("info/");
    let mut line = FileLine {
        path: path.into(),
        size: about.len(),
        trailer: None,
    };
    if !loose {
        let mut trailer = vec![0; format.len_in_bytes()];
        let start = line.size.checked_sub(to_u64(trailer.len()));
        let start = start.ok_or_else(|| {
            let told = format!("{} is too short to be whole", place.display());
            Trouble::Failed(Error::new(Kind::Corrupt, told))
        })?;
        let file = File::open(place).map_err(failed)?;
        file.read_exact_at(&mut trailer, start).map_err(failed)?;
        let id = ObjectId::try_from(trailer.as_slice()).map(|id| id.to_string());
        line.trailer = id.ok();
    }
    Ok(line)
}

/// The commits where a shallow history ends, sorted.
fn shallow(path: &Path) -> Result<Vec<ObjectId>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let parse = |line: &[u8]| {
        ObjectId::from_hex(line.trim()).map_err(|error| {
            let told = format!("{} holds something else than object ids", path.display());
            Error::with_source(Kind::Corrupt, told, error)
        })
    };
    let mut ids = text.lines().map(parse).collect::<Result<Vec<_>>>()?;
    ids.sort();
    ids.dedup();
    Ok(ids)
}
