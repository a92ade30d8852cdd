//! libmount's table of mounts, `/run/mount/utab`: what mount(8) and umount(8) know of a
//! mount beside what the kernel knows.
//!
//! ```text
//! SRC=blockd TARGET=/workspace ROOT=/ OPTS=helper=blockd,x-blockd.uri=URI,x-blockd.state=DIR
//! ```
//! Of a mount with `helper=blockd`, umount(8) has `/sbin/umount.blockd` take care, if
//! there is one. The values of blockd's own options are percent-encoded; spaces in a
//! field are `\040`, as in mountinfo.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use blockd_nbd::uri::NbdUri;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, percent_encode};

use super::{
    mounts::{Mounts, unescape},
    poll::poll_until,
};
use crate::atomic_file::no_follow;

const DIRECTORY: &str = "/run/mount";
const TABLE: &str = "/run/mount/utab";
const LOCK: &str = "/run/mount/utab.lock";
/// How long another program that writes the table is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// What has a meaning in a list of mount options.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b',').add(b'%').add(b'"').add(b'\\');

/// What attach recorded of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The URI that was attached, without a token.
    pub uri: String,
    /// The state directory of the attachment.
    pub state: PathBuf,
}

/// Records what is mounted at a canonical path now.
///
/// # Errors
///
/// When nothing is mounted there, or the table cannot be written.
pub(crate) fn record(target: &Path, uri: &NbdUri, state: &Path) -> io::Result<()> {
    let mounts = Mounts::read()?;
    let mount = mounts.at(target).ok_or(io::ErrorKind::NotFound)?;
    let line = [
        b"SRC=",
        escape(mount.source.as_bytes()).as_slice(),
        b" TARGET=",
        &escape(target.as_os_str().as_bytes()),
        b" ROOT=/ OPTS=helper=blockd,x-blockd.uri=",
        &encode(uri.to_string().as_bytes()),
        b",x-blockd.state=",
        &encode(state.as_os_str().as_bytes()),
        b"\n",
    ]
    .concat();
    change(|table| [without(table, |line| is_own(line, target)), line].concat())
}

/// Removes what was recorded of a canonical path; where nothing is mounted, also what
/// mount(8) itself has recorded, as of the option `_netdev`.
///
/// # Errors
///
/// When the tables cannot be read or written.
pub(crate) fn forget(target: &Path) -> io::Result<()> {
    let is_free = Mounts::read()?.at(target).is_none();
    let is_over = |line: &[u8]| is_own(line, target) || (is_free && is_at(line, target));
    let table = read()?;
    if without(&table, is_over) == table {
        return Ok(());
    }
    change(|table| without(table, is_over))
}

/// What was recorded of the uppermost mount at a canonical path.
///
/// # Errors
///
/// When a table cannot be read.
pub(crate) fn find(target: &Path) -> io::Result<Option<Recorded>> {
    let mounts = Mounts::read()?;
    let Some(mount) = mounts.at(target) else {
        return Ok(None);
    };
    let table = read()?;
    let mut lines = table.split(|byte| *byte == b'\n');
    let line = lines.find(|line| {
        let source = field(line, b"SRC=").map(unescape);
        is_own(line, target) && source.is_some_and(|it| it == Path::new(&mount.source))
    });
    Ok(line.and_then(parse))
}

fn parse(line: &[u8]) -> Option<Recorded> {
    let uri = option(line, b"x-blockd.uri=")?;
    let state = option(line, b"x-blockd.state=")?;
    Some(Recorded {
        uri: String::from_utf8(uri).ok()?,
        state: PathBuf::from(std::ffi::OsString::from_vec(state)),
    })
}

/// The value of a field of a line, as it is escaped.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut fields = line.split(|byte| *byte == b' ');
    fields.find_map(|field| field.strip_prefix(name))
}

fn options(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let options = field(line, b"OPTS=").into_iter();
    options.flat_map(|options| options.split(|byte| *byte == b','))
}

fn option(line: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let value = options(line).find_map(|option| option.strip_prefix(name))?;
    Some(percent_decode(value).collect())
}

fn is_at(line: &[u8], target: &Path) -> bool {
    field(line, b"TARGET=").is_some_and(|at| unescape(at) == target)
}

/// Whether a line is blockd's, of a mount at this path.
fn is_own(line: &[u8], target: &Path) -> bool {
    is_at(line, target) && options(line).any(|option| option == b"helper=blockd")
}

fn without(table: &[u8], is_out: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let lines = table.split_inclusive(|byte| *byte == b'\n');
    let others = lines.filter(|line| !is_out(line.trim_ascii_end()));
    others.collect::<Vec<_>>().concat()
}

fn read() -> io::Result<Vec<u8>> {
    match fs::read(TABLE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Writes the table anew while its lock is held, as libmount does.
fn change(edit: impl FnOnce(&[u8]) -> Vec<u8>) -> io::Result<()> {
    if !Path::new(DIRECTORY).exists() {
        fs::create_dir(DIRECTORY)?;
        fs::set_permissions(DIRECTORY, Permissions::from_mode(0o755))?;
    }
    let _lock = lock()?;
    let temporary = format!("{TABLE}.blockd");
    fs::write(&temporary, edit(&read()?))?;
    fs::set_permissions(&temporary, Permissions::from_mode(0o644))?;
    fs::rename(temporary, TABLE)
}

/// Whoever may read the file can hold its lock: it is not waited for without end.
fn lock() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = options.mode(0o644).custom_flags(no_follow()).open(LOCK)?;
    let mut locked = Err(TryLockError::WouldBlock);
    poll_until(LOCK_TIMEOUT, || {
        locked = file.try_lock();
        !matches!(locked, Err(TryLockError::WouldBlock))
    });
    locked?;
    Ok(file)
}

fn escape(bytes: &[u8]) -> Vec<u8> {
    let escaped = bytes.iter().flat_map(|byte| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => vec![*byte],
    });
    escaped.collect()
}

fn encode(bytes: &[u8]) -> Vec<u8> {
    percent_encode(bytes, ENCODED).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
SRC=blockd TARGET=/a\\040b ROOT=/ OPTS=helper=blockd,x-blockd.uri=nbd://h/r%2520x,x-blockd.state=/s%2Ct
SRC=/dev/sda1 TARGET=/a\\040b ROOT=/ OPTS=uhelper=udisks2
SRC=blockd TARGET=/a ROOT=/ OPTS=helper=blockd
";

    #[test]
    fn a_line_says_what_was_attached() {
        let line = TABLE.split(|byte| *byte == b'\n').next().unwrap();
        let recorded = parse(line).unwrap();
        assert_eq!(recorded.uri, "nbd://h/r%20x");
        assert_eq!(recorded.state, Path::new("/s,t"));
        assert_eq!(escape(b"/a b"), b"/a\\040b");
        assert_eq!(encode(b"/s,t"), b"/s%2Ct");
    }

    #[test]
    fn lines_of_others_stay() {
        let without_own = |path| without(TABLE, |line| is_own(line, Path::new(path)));
        let rest = without_own("/a b");
        let lines: Vec<_> = rest.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with(b"udisks2\n"));
        assert!(lines[1].starts_with(b"SRC=blockd TARGET=/a "));
        assert_eq!(without_own("/b"), TABLE);
        assert_eq!(parse(lines[1]), None);
    }
}
