//! The copies of an object: in packs, in a file of its own, in alternates.
//!
//! As in git, damage to one copy does no harm while there is another.

use std::sync::{Arc, atomic::Ordering};

use gix::oid;

use super::{
    Location, Loose, Pack, Store, multi_index::MultiIndex, naming, pack_file::PackFile,
    reason::read_elsewhere, scan::Scan,
};
use crate::error::{Error, Kind, Result};

/// Where an object may be.
enum Copy {
    At(Location),
    /// There is one, which cannot be read.
    Damaged(Error),
    /// A pack that cannot be searched.
    Unknown(Error),
}

impl Store {
    /// Calls `read` with the copies of an object, until it can read one. A live
    /// directory is scanned again before an object is reported missing.
    ///
    /// Copies in the pack with the id `except` are left out.
    ///
    /// # Errors
    ///
    /// That of the first copy if none can be read; [`Kind::NotFound`] if there
    /// is none.
    pub(in crate::git) fn read<T>(
        &self,
        id: &oid,
        except: Option<u32>,
        mut read: impl FnMut(Location) -> Result<T>,
    ) -> Result<T> {
        self.check_format(id)?;
        let (mut damaged, mut unknown) = (None, None);
        let mut scan = self.scan();
        loop {
            for copy in self.copies(&scan, id, except) {
                let failed = match copy {
                    Copy::At(location) => match checked(location, &mut read) {
                        Ok(object) => {
                            damaged.iter().for_each(read_elsewhere);
                            return Ok(object);
                        }
                        Err(error) => error.within(naming(id)),
                    },
                    Copy::Damaged(error) => error.within(naming(id)),
                    Copy::Unknown(error) => {
                        unknown.get_or_insert(error);
                        continue;
                    }
                };
                damaged.get_or_insert(failed);
            }
            match self.rescan(&scan) {
                Some(newer) => scan = newer,
                None => return Err(damaged.unwrap_or_else(|| self.missing(&scan, unknown, id))),
            }
        }
    }

    /// The copies in the order in which they are tried: by the multi-pack-index;
    /// in the pack of the last object found, which likely has the next one too;
    /// in the packs that no multi-pack-index has, in files, and at last in the
    /// others, each by its own index: a multi-pack-index names one copy, of a
    /// pack that may be gone.
    fn copies<'a>(
        &'a self,
        scan: &'a Scan,
        id: &'a oid,
        except: Option<u32>,
    ) -> impl Iterator<Item = Copy> + 'a {
        let packs = move |at: usize| {
            let pack = scan.packs.get(at)?;
            (except != Some(pack.id())).then_some(pack)
        };
        let named = scan.multi.iter().filter_map(|multi| multi.find(id));
        let by_multi = named.clone().filter_map(move |(at, offset)| {
            opened(packs(at)?, |pack| Some(Location::Packed(pack, offset)))
        });
        let searched = move |at: usize| {
            opened(packs(at)?, |pack| {
                let offset = pack.find(id)?;
                Some(Location::Packed(pack, offset))
            })
        };
        let recent = self.recent.load(Ordering::Relaxed);
        let first = scan.single.binary_search(&recent).ok().map(|_| recent);
        let others = scan.single.iter().copied().filter(move |at| *at != recent);
        let by_index = first.into_iter().chain(others).filter_map(move |at| {
            let copy = searched(at)?;
            if matches!(copy, Copy::At(_)) && at != recent {
                self.recent.store(at, Ordering::Relaxed);
            }
            Some(copy)
        });
        let directories = scan.directories.iter();
        let loose =
            directories.filter_map(|directory| match Loose::open(directory, id, &self.wall) {
                Ok(loose) => Some(Copy::At(Location::Loose(Box::new(loose?)))),
                Err(error) => Some(Copy::Damaged(error)),
            });
        let covered = scan
            .multi
            .iter()
            .flat_map(MultiIndex::covered)
            .filter_map(searched);
        let others = covered.filter(move |copy| match copy {
            Copy::At(Location::Packed(pack, offset)) => {
                let is_this = |(at, named)| {
                    named == *offset && packs(at).is_some_and(|file| file.id() == pack.id())
                };
                !named.clone().any(is_this)
            }
            _ => true,
        });
        by_multi.chain(by_index).chain(loose).chain(others)
    }
}

/// What is read at a location, unless a page of the pack was gone.
fn checked<T>(location: Location, read: &mut impl FnMut(Location) -> Result<T>) -> Result<T> {
    let pack = match &location {
        Location::Packed(pack, _) => Some(Arc::clone(pack)),
        Location::Loose(_) => None,
    };
    let found = read(location);
    pack.map_or(Ok(()), |pack| pack.check())?;
    found
}

/// The copy in a pack; `None` if `locate` finds none, or the pack was removed.
fn opened(file: &PackFile, locate: impl FnOnce(Arc<Pack>) -> Option<Location>) -> Option<Copy> {
    match file.open() {
        Ok(pack) => {
            let found = locate(Arc::clone(&pack));
            match pack.check() {
                Ok(()) => found.map(Copy::At),
                Err(damage) => Some(Copy::Unknown(damage)),
            }
        }
        Err(error) if error.kind() == Kind::NotFound => None,
        Err(error) => Some(Copy::Unknown(error)),
    }
}
