//! The copies of an object: in packs, in a file of its own, in alternates.
//!
//! As in git, damage to one copy does no harm while there is another.

use std::sync::{Arc, atomic::Ordering};

use gix::oid;
use tracing::warn;

use super::{Location, Loose, Store, naming, pack_file::PackFile, scan::Scan};
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
                    Copy::At(location) => match read(location) {
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

    /// The copies in the order in which they are tried: the pack of the last
    /// object found, which likely has the next one too, the other packs, files.
    fn copies<'a>(
        &'a self,
        scan: &'a Scan,
        id: &'a oid,
        except: Option<u32>,
    ) -> impl Iterator<Item = Copy> + 'a {
        let recent = self.recent.load(Ordering::Relaxed);
        let first = scan.packs.get(recent).map(|pack| (recent, pack));
        let others = scan.packs.iter().enumerate();
        let packs = first
            .into_iter()
            .chain(others.filter(move |(at, _)| *at != recent));
        let packed = packs
            .filter(move |(_, pack)| except != Some(pack.id()))
            .filter_map(move |(at, pack)| {
                let copy = in_pack(pack, id)?;
                if matches!(copy, Copy::At(_)) && at != recent {
                    self.recent.store(at, Ordering::Relaxed);
                }
                Some(copy)
            });
        let loose = scan.directories.iter();
        packed.chain(
            loose.filter_map(|directory| match Loose::open(directory, id) {
                Ok(loose) => Some(Copy::At(Location::Loose(Box::new(loose?)))),
                Err(error) => Some(Copy::Damaged(error)),
            }),
        )
    }
}

/// The copy in a pack; `None` if there is none, or the pack was removed.
fn in_pack(file: &PackFile, id: &oid) -> Option<Copy> {
    match file.open() {
        Ok(pack) => {
            let offset = pack.find(id)?;
            Some(Copy::At(Location::Packed(Arc::clone(&pack), offset)))
        }
        Err(error) if error.kind() == Kind::NotFound => None,
        Err(error) => Some(Copy::Unknown(error)),
    }
}

/// Logs damage to a copy instead of which another was read.
pub(super) fn read_elsewhere(damage: &Error) {
    warn!("another copy is read, since: {damage}");
}
