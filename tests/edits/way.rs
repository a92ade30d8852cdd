//! The ways in which programs change a file and keep its size.

use std::{
    fs::{self, File, FileTimes, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    ptr,
};

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};

#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// One byte, written where it is.
    InPlace,
    /// Truncated, and written anew.
    Rewritten,
    /// A new file, renamed over it.
    RenamedOver,
    /// One byte, through a shared mapping.
    Mapped,
}

impl Way {
    pub(super) fn any(random: &mut StdRng) -> Self {
        let all = [
            Self::InPlace,
            Self::Rewritten,
            Self::RenamedOver,
            Self::Mapped,
        ];
        *all.choose(random).expect("there are some")
    }

    /// Changes one byte of the file.
    pub(super) fn edit(self, path: &Path, random: &mut StdRng) {
        let mut bytes = fs::read(path).unwrap();
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1;
        match self {
            Self::InPlace => {
                let offset = u64::try_from(at).unwrap();
                writable(path)
                    .write_all_at(&bytes[at..=at], offset)
                    .unwrap();
            }
            Self::Rewritten => fs::write(path, bytes).unwrap(),
            Self::RenamedOver => {
                let new = path.with_extension("new");
                fs::write(&new, bytes).unwrap();
                fs::rename(new, path).unwrap();
            }
            Self::Mapped => write_mapped(path, at, &bytes),
        }
    }
}

/// Gives the file the time of its last change that it had before `edit`.
pub(super) fn keeping_its_time(path: &Path, edit: impl FnOnce()) {
    let before = fs::metadata(path).unwrap().modified().unwrap();
    edit();
    let times = FileTimes::new().set_modified(before);
    writable(path).set_times(times).unwrap();
}

fn writable(path: &Path) -> File {
    OpenOptions::new().write(true).open(path).unwrap()
}

#[expect(unsafe_code, reason = "a mapping is what is tested")]
fn write_mapped(path: &Path, at: usize, bytes: &[u8]) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses where; nobody else has the file open, and the
    // byte lies within it, thus within the mapping.
    unsafe {
        let map = mmap(
            ptr::null_mut(),
            bytes.len(),
            access,
            MapFlags::SHARED,
            &file,
            0,
        )
        .unwrap();
        map.cast::<u8>().add(at).write(bytes[at]);
        msync(map, bytes.len(), MsyncFlags::SYNC).unwrap();
        munmap(map, bytes.len()).unwrap();
    }
}
