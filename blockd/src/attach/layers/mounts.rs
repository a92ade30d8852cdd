//! What is mounted where: `/proc/PID/mountinfo`.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// One mount: a line of `proc_pid_mountinfo(5)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The id of the mount, as statx(2) says it of a file that was opened through it.
    pub(crate) id: u64,
    /// The device number of the file system, `major:minor`.
    pub(crate) device: String,
    pub(crate) mountpoint: PathBuf,
    /// The type of the file system.
    pub(crate) kind: String,
    /// What it was mounted from, as whoever mounted it said.
    pub(crate) source: String,
    /// The super options, which are the file system's own.
    pub(crate) options: String,
}

/// All mounts that a process sees, in the order they were made: a later one
/// covers an earlier one.
#[derive(Clone, Debug)]
pub(crate) struct Mounts(Vec<Mount>);

impl Mounts {
    /// Those that this process sees.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted, or a line is not of the documented format.
    pub(crate) fn read() -> io::Result<Self> {
        Self::of(Path::new("/proc/self"))
    }

    /// Those that another process sees; `process` is `/proc/PID`.
    ///
    /// # Errors
    ///
    /// Those of [`Mounts::read`], and when the process has ended.
    pub(crate) fn of(process: &Path) -> io::Result<Self> {
        Self::parse(&fs::read(process.join("mountinfo"))?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    fn parse(text: &[u8]) -> io::Result<Self> {
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty());
        let mounts = lines.map(|line| {
            parse_line(line).ok_or_else(|| {
                let line = String::from_utf8_lossy(line);
                let reason = format!("a line of mountinfo cannot be parsed: {line}");
                io::Error::new(io::ErrorKind::InvalidData, reason)
            })
        });
        mounts.collect::<io::Result<_>>().map(Self)
    }

    /// The uppermost mount at exactly this path.
    pub(crate) fn at(&self, path: &Path) -> Option<&Mount> {
        self.all_at(path).last()
    }

    /// All mounts at exactly this path, the uppermost last.
    pub(crate) fn all_at(&self, path: &Path) -> impl Iterator<Item = &Mount> {
        self.0.iter().filter(move |mount| mount.mountpoint == path)
    }

    /// The ids of the mounts at a path and below it.
    pub(crate) fn ids_below(&self, path: &Path) -> HashSet<u64> {
        let inside = self.0.iter().filter(|it| it.mountpoint.starts_with(path));
        inside.map(|mount| mount.id).collect()
    }

    /// The mountpoints below a path.
    pub(crate) fn below(&self, path: &Path) -> impl Iterator<Item = &Path> {
        let mounts = self.0.iter().map(|mount| mount.mountpoint.as_path());
        mounts.filter(move |mountpoint| *mountpoint != path && mountpoint.starts_with(path))
    }
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = text(fields.next()?).parse().ok()?;
    let device = text(fields.nth(1)?);
    let mountpoint = unescape(fields.nth(1)?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = text(rest.next()?);
    let source = text(rest.next()?);
    let options = text(rest.next()?);
    Some(Mount {
        id,
        device,
        mountpoint,
        kind,
        source,
        options,
    })
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(unescape(field).as_os_str().as_bytes()).into_owned()
}

/// The kernel writes space, tab, newline and backslash as `\ooo`, and so does libmount.
pub(super) fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.split_at_checked(3).filter(|_| *first == b'\\');
        let escaped = escaped.and_then(|(digits, after)| Some((octal(digits)?, after)));
        let (byte, after) = escaped.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    OsString::from_vec(bytes).into()
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:45 / /a\\040b rw shared:9 master:2 - overlay blockd rw,lowerdir=/l,upperdir=/u\\134054x
41 40 7:3 / /a\\040b/c ro,nosuid - ext4 /dev/loop3 ro
42 22 7:4 / /a\\040b ro - ext4 /dev/loop4 ro
";

    #[test]
    fn the_uppermost_mount_is_found() {
        let mounts = Mounts::parse(TEXT).unwrap();
        assert_eq!(mounts.0.len(), 4);
        assert_eq!(mounts.at(Path::new("/a b")).unwrap().device, "7:4");
        assert_eq!(mounts.0[1].kind, "overlay");
        assert_eq!(mounts.0[1].source, "blockd");
        assert_eq!(mounts.0[1].options, "rw,lowerdir=/l,upperdir=/u\\054x");
        assert!(mounts.at(Path::new("/a")).is_none());
    }

    #[test]
    fn mounts_below_a_path_are_found() {
        let mounts = Mounts::parse(TEXT).unwrap();
        let below: Vec<_> = mounts.below(Path::new("/a b")).collect();
        assert_eq!(below, [Path::new("/a b/c")]);
        let ids = mounts.ids_below(Path::new("/a b"));
        assert_eq!(ids, HashSet::from([40, 41, 42]));
    }

    #[test]
    fn a_line_of_another_format_is_an_error() {
        for line in ["garbage", "22 1 254:0 / / rw,relatime shared:1"] {
            let text = [TEXT, line.as_bytes(), b"\n"].concat();
            let error = Mounts::parse(&text).unwrap_err().to_string();
            assert!(error.contains(line), "{error}");
        }
    }
}
