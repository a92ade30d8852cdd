//! The names in trees that git refuses to check out on Linux without any
//! configuration: with `core.protectNTFS` and without `core.protectHFS` (git,
//! `verify_path` and `path.c`).

use super::EntryMode;

/// The longest file name in bytes.
const NAME_LIMIT: usize = 255;

/// Why git's `verify_path`, or any file system, does not accept a name.
pub(super) fn refusal(name: &[u8], mode: EntryMode) -> Option<&'static str> {
    let link = mode == EntryMode::Symlink;
    match name {
        b"" => Some("without a name"),
        b"." | b".." => Some("that names a directory itself"),
        name if name.contains(&b'/') => Some("with a slash in its name"),
        name if name.len() > NAME_LIMIT => Some("with a name longer than 255 bytes"),
        name if ntfs_parts(name).any(is_dot_git) => {
            Some("that git refuses to check out: it means .git on some system")
        }
        name if link && ntfs_parts(name).any(is_dot_gitmodules) => {
            Some("that git refuses to check out as a symlink: it means .gitmodules on some system")
        }
        _ => None,
    }
}

/// The name, and what follows each backslash but a first one: a separator on
/// NTFS.
fn ntfs_parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let separators = name.iter().enumerate().skip(1);
    let after = separators
        .filter(|(_, byte)| **byte == b'\\')
        .map(|(at, _)| at + 1);
    [0].into_iter().chain(after).map(|at| name.split_at(at).1)
}

/// Whether NTFS takes a name for `.git` (git, `is_ntfs_dotgit`).
fn is_dot_git(name: &[u8]) -> bool {
    let rest = after(name, b".git").or_else(|| after(name, b"git~1"));
    rest.is_some_and(|rest| ends(rest, b"\\:"))
}

/// Whether NTFS takes a name for `.gitmodules` (git, `is_ntfs_dot_generic`): by
/// the name itself, its short name, or one made of a hash.
fn is_dot_gitmodules(name: &[u8]) -> bool {
    let rest = after(name, b".gitmodules")
        .or_else(|| match after(name, b"gitmod~")? {
            [b'1'..=b'4', rest @ ..] => Some(rest),
            _ => None,
        })
        .or_else(|| after_hashed(name));
    rest.is_some_and(|rest| ends(rest, b":"))
}

/// What follows a short name such as `gi7eba~1` or `gi~12345`, of 8 bytes.
fn after_hashed(name: &[u8]) -> Option<&[u8]> {
    let (short, rest) = name.split_at_checked(8)?;
    let tilde = short.iter().position(|&byte| byte == b'~')?;
    let (prefix, number) = short.split_at(tilde);
    let known = b"gi7eba".get(..prefix.len())?;
    let is_number = match number {
        [_, first, rest @ ..] => {
            matches!(first, b'1'..=b'9') && rest.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    (prefix.eq_ignore_ascii_case(known) && is_number).then_some(rest)
}

/// What follows a prefix in any case.
fn after<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = name.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Whether nothing but spaces and dots, which NTFS drops, comes before the end
/// or one of these bytes.
fn ends(rest: &[u8], terminators: &[u8]) -> bool {
    let mut other = rest.iter().filter(|byte| !matches!(byte, b' ' | b'.'));
    other.next().is_none_or(|byte| terminators.contains(byte))
}
