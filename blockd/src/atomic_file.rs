//! Replacing a file so that a crash leaves its old content or its new one.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::OFlags;

/// Replaces the file at `path` by what `write` puts into a new file, which is
/// at `temporary` until then. Both must be in the same directory.
///
/// When this returns, the new content is on storage under its name: the data is
/// synced before the rename, and the directory after it (rename(2), fsync(2)).
/// Only the owner may read the new file.
///
/// # Errors
///
/// Those of `write` and of the file system. The old file is then still there,
/// unless only the last step failed, the sync of the directory.
pub(crate) fn replace<T>(
    path: &Path,
    temporary: &Path,
    write: impl FnOnce(&File) -> io::Result<T>,
) -> io::Result<T> {
    let replaced = create(temporary).and_then(|file| {
        let written = write(&file)?;
        file.sync_data()?;
        fs::rename(temporary, path)?;
        Ok(written)
    });
    if replaced.is_err() {
        // The error of the write is the one to report; the next write truncates
        // what stays behind.
        let _removed = fs::remove_file(temporary);
    }
    let written = replaced?;
    let directory = path.parent().expect("a file is in a directory");
    File::open(directory)?.sync_all()?;
    Ok(written)
}

/// `O_NOFOLLOW`, as `OpenOptions` takes it.
pub(crate) fn no_follow() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    options.mode(0o600).custom_flags(no_follow()).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_old_content_stays_until_the_new_one_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (path, temporary) = (directory.path().join("a"), directory.path().join("a.new"));
        replace(&path, &temporary, |mut file| file.write_all(b"old")).unwrap();
        let failed = replace(&path, &temporary, |mut file| {
            file.write_all(b"half of the new co")?;
            Err::<(), _>(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert!(!temporary.exists());
        replace(&path, &temporary, |mut file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
