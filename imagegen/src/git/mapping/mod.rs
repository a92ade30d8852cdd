//! Files mapped into memory, of which a page may vanish.
//!
//! A file that is truncated while it is mapped, or a disk that fails, is a
//! SIGBUS for who reads the page (mmap(2)), and the end of the process. Here a
//! handler puts a page of zeros in its place and marks the mapping, so that what
//! was read from it is given up ([`Mapping::check`]).

use std::{
    fs::File,
    io,
    ops::Deref,
    ptr::{self, NonNull},
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::numbers::to_usize;

mod sigbus;

use self::sigbus::Watch;
pub(super) use self::sigbus::guarded;

/// How many mappings have lost a page.
static DAMAGED: AtomicU64 = AtomicU64::new(0);

/// How many mapped files have lost a page since the process started: truncated,
/// or on a disk that fails.
pub fn damaged_maps() -> u64 {
    DAMAGED.load(Ordering::Relaxed)
}

/// A file mapped into memory, for reading. A clone is the same mapping.
#[derive(Clone)]
pub(super) struct Mapping(Arc<Mapped>);

struct Mapped {
    start: NonNull<u8>,
    length: usize,
    /// `None` for an empty file, of which nothing is mapped.
    watch: Option<Watch>,
}

#[expect(unsafe_code, reason = "the memory belongs to no thread")]
// SAFETY: the memory is only read, and stays mapped until the value is dropped.
unsafe impl Send for Mapped {}
#[expect(unsafe_code, reason = "the memory belongs to no thread")]
// SAFETY: as above; any number of threads may read it.
unsafe impl Sync for Mapped {}

impl Mapping {
    /// Maps a whole file.
    ///
    /// # Errors
    ///
    /// The system cannot map it, or too many files are mapped.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Mapped::of(file).map(Arc::new).map(Self)
    }

    /// Checks what was read from the mapping since it was made: after each use,
    /// before anything is done with what was read.
    ///
    /// # Errors
    ///
    /// A page is gone; zeros were read instead.
    pub(super) fn check(&self) -> io::Result<()> {
        let watch = self.0.watch.as_ref();
        let Some(watch) = watch.filter(|watch| watch.is_damaged()) else {
            return Ok(());
        };
        if watch.report_once() {
            DAMAGED.fetch_add(1, Ordering::Relaxed);
        }
        Err(io::Error::other(
            "a part of it is gone: it was truncated, or the disk cannot read it",
        ))
    }
}

impl Mapped {
    fn of(file: &File) -> io::Result<Self> {
        let length = to_usize(file.metadata()?.len());
        if length == 0 {
            let (start, watch) = (NonNull::dangling(), None);
            return Ok(Self {
                start,
                length,
                watch,
            });
        }
        #[expect(unsafe_code, reason = "a system call")]
        // SAFETY: a new private mapping, at an address that the kernel chooses.
        let start = unsafe {
            let (read, private) = (ProtFlags::READ, MapFlags::PRIVATE);
            mmap(ptr::null_mut(), length, read, private, file, 0)
        }?;
        let start = NonNull::new(start.cast()).expect("the kernel maps nothing at 0");
        let mut mapping = Self {
            start,
            length,
            watch: None,
        };
        // Dropped, and so unmapped, if it cannot be watched.
        mapping.watch = Some(Watch::over(start.as_ptr().addr(), length)?);
        Ok(mapping)
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        #[expect(unsafe_code, reason = "memory that the kernel has mapped")]
        // SAFETY: `length` bytes are mapped from `start` on until the drop; where a
        // page of the file vanishes, zeros are mapped. Git never changes the
        // bytes of such a file in place, and who else does gets what he wrote.
        unsafe {
            slice::from_raw_parts(self.0.start.as_ptr(), self.0.length)
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // No longer watched before the address can be another mapping's.
        drop(self.watch.take());
        if self.length > 0 {
            #[expect(unsafe_code, reason = "a system call")]
            // SAFETY: mapped by `of`, and borrowed by nobody.
            let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
            unmapped.expect("what was mapped can be unmapped");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{hint::black_box, io::Write};

    use super::*;

    const PAGE: usize = 64 << 10;

    #[test]
    fn a_page_that_is_truncated_away_is_zeros_and_a_mark() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; PAGE * 4]).unwrap();
        let mapping = Mapping::of(&file).unwrap();
        let other = Mapping::of(&file).unwrap();
        assert_eq!(black_box(&mapping).get(PAGE * 3), Some(&7));
        mapping.check().unwrap();
        file.set_len(crate::numbers::to_u64(PAGE)).unwrap();
        let before = damaged_maps();
        assert_eq!(black_box(&mapping).get(PAGE * 3), Some(&0));
        assert_eq!(mapping.get(1), Some(&7));
        assert!(mapping.check().is_err() && mapping.check().is_err());
        assert_eq!(damaged_maps(), before + 1);
        other.check().unwrap();
    }

    #[test]
    fn a_mapping_of_somebody_else_is_guarded_for_one_thread() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; PAGE * 2]).unwrap();
        let length = PAGE * 2;
        #[expect(unsafe_code, reason = "a mapping that is not watched")]
        // SAFETY: a new private mapping, which is never unmapped.
        let bytes = unsafe {
            let (read, private) = (ProtFlags::READ, MapFlags::PRIVATE);
            let start = mmap(ptr::null_mut(), length, read, private, &file, 0).unwrap();
            slice::from_raw_parts(start.cast::<u8>(), length)
        };
        assert_eq!(
            guarded(|| black_box(black_box(bytes).get(PAGE).copied())).unwrap(),
            Some(7)
        );
        file.set_len(0).unwrap();
        assert!(guarded(|| black_box(black_box(bytes).get(PAGE).copied())).is_err());
    }

    #[test]
    fn an_empty_file_is_no_bytes() {
        let file = tempfile::tempfile().unwrap();
        let mapping = Mapping::of(&file).unwrap();
        assert!(mapping.is_empty());
        mapping.check().unwrap();
    }
}
