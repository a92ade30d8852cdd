//! What is mounted at a work tree, and in it (proc(5), `mountinfo`).

use std::{fs, io, os::unix::ffi::OsStrExt, path::Path};

/// The paths below `worktree` at which something else is mounted, which hides what the
/// layers have there; `None` if `worktree` is not the overlay with this upper layer.
///
/// # Errors
///
/// When mounts cannot be read.
pub(super) fn below(worktree: &Path, upper: &Path) -> io::Result<Option<Vec<Vec<u8>>>> {
    let text = fs::read("/proc/self/mountinfo")?;
    Ok(parse(&text, worktree.as_os_str().as_bytes(), upper))
}

fn parse(text: &[u8], worktree: &[u8], upper: &Path) -> Option<Vec<Vec<u8>>> {
    let (mut is_overlay, mut hidden) = (false, Vec::new());
    for line in text.split(|byte| *byte == b'\n') {
        let fields: Vec<_> = line.split(|byte| *byte == b' ').collect();
        let Some(place) = fields.get(4).map(|place| unescaped(place)) else {
            continue;
        };
        if place == worktree {
            // The last one is on top, and hides what was in the others.
            is_overlay = is_overlay_of(&fields, upper);
            hidden.clear();
        } else if let Some(path) = place.strip_prefix(worktree)
            && let Some(path) = path.strip_prefix(b"/")
        {
            hidden.push(path.to_vec());
        }
    }
    is_overlay.then_some(hidden)
}

fn is_overlay_of(fields: &[&[u8]], upper: &Path) -> bool {
    let mut behind = fields.iter().skip_while(|field| **field != b"-").skip(1);
    let (kind, options) = (behind.next(), behind.nth(1));
    let mut options = options
        .into_iter()
        .flat_map(|it| it.split(|byte| *byte == b','));
    fields.get(3) == Some(&b"/".as_slice())
        && kind == Some(&b"overlay".as_slice())
        && options.any(|option| {
            let value = option.strip_prefix(b"upperdir=");
            let upper = plain(upper.as_os_str().as_bytes());
            value.is_some_and(|value| plain(&unescaped(value)) == upper)
        })
}

/// A field as it was before the kernel wrote `\ooo` for some of its bytes.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let (mut text, mut rest) = (Vec::new(), field);
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        text.push(digits.unwrap_or(*first));
        rest = behind
            .get(3..)
            .filter(|_| digits.is_some())
            .unwrap_or(behind);
    }
    text
}

/// Without the backslashes with which overlayfs takes separators.
fn plain(path: &[u8]) -> Vec<u8> {
    path.iter().copied().filter(|byte| *byte != b'\\').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_overlay_counts_and_what_is_mounted_in_it() {
        let upper = Path::new("/s/a:b/upper");
        let overlay = "40 1 0:5 / /w\\040x rw - overlay blockd rw,lowerdir=/l,upperdir=/s/a\\134:b/upper,workdir=/s\n";
        let inside = "41 40 0:6 / /w\\040x/src rw shared:1 - tmpfs none rw\n";
        let beside = "42 1 0:6 / /w\\040xy rw - tmpfs none rw\n";
        let of = |lines: &[&str]| parse(lines.concat().as_bytes(), b"/w x", upper);
        assert_eq!(of(&[overlay, beside]), Some(Vec::new()));
        assert_eq!(of(&[overlay, inside]), Some(vec![b"src".to_vec()]));
        let other = overlay.replace("upper,", "other,");
        assert_eq!(of(&[&other]), None);
        let above = "43 40 0:6 / /w\\040x rw - tmpfs none rw\n";
        assert_eq!(of(&[overlay, inside, above]), None);
        assert_eq!(of(&[above, overlay]), Some(Vec::new()));
        assert_eq!(of(&[&overlay.replace(" / ", " /sub ")]), None);
        assert_eq!(of(&[]), None);
    }
}
