//! Where on its disk a file begins (`FS_IOC_FIEMAP`,
//! Documentation/filesystems/fiemap.rst).

use std::{fs::File, io, path::Path};

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

const FS_IOC_FIEMAP: Opcode = opcode::read_write::<FiemapHead>(b'f', 11);
const FIEMAP_MAX_OFFSET: u64 = u64::MAX;

/// `struct fiemap` without its array, and without the `fm_` of its fields.
#[repr(C)]
struct FiemapHead {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
}

/// `struct fiemap_extent`, without the `fe_` of its fields.
#[repr(C)]
#[derive(Default)]
struct FiemapExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// `struct fiemap` with room for one extent.
#[repr(C)]
struct Fiemap {
    head: FiemapHead,
    extent: FiemapExtent,
}

/// The byte of the disk at which a file begins; None for an empty one.
pub(super) fn of(path: &Path) -> io::Result<Option<u64>> {
    let file = File::open(path)?;
    let mut fiemap = Fiemap {
        head: FiemapHead {
            start: 0,
            length: FIEMAP_MAX_OFFSET,
            flags: 0,
            mapped_extents: 0,
            extent_count: 1,
            reserved: 0,
        },
        extent: FiemapExtent::default(),
    };
    // SAFETY: the kernel reads the head, and writes it and as many extents as
    // the head says there is room for, which is one.
    #[expect(unsafe_code, reason = "an ioctl that rustix has no function for")]
    unsafe { ioctl(&file, Updater::<FS_IOC_FIEMAP, Fiemap>::new(&mut fiemap)) }?;
    Ok((fiemap.head.mapped_extents > 0).then_some(fiemap.extent.physical))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_sizes_are_those_of_the_kernel() {
        assert_eq!(size_of::<FiemapHead>(), 32);
        assert_eq!(size_of::<FiemapExtent>(), 56);
    }

    #[test]
    fn an_empty_file_begins_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "").unwrap();
        // A file system that does not know says so.
        assert!(of(&path).map_or(true, |at| at.is_none()));
        assert!(of(&directory.path().join("nothing")).is_err());
    }
}
