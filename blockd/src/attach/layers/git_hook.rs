//! Having git ask `blockd fsmonitor` what has changed in a work tree.
//!
//! ```text
//! .git/config ─► .git/blockd.gitconfig ─► /run/blockd/fsmonitor/KEY.gitconfig
//! of the image   for whoever sees the     where the layers are in reach
//!                work tree                at this path
//! ```
//!
//! Git writes its index anew at each status when a hook fails. So the hook is in a
//! file that only those see who can ask: a container that has the work tree alone,
//! or has it elsewhere, finds no such file, and git works without a hook.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{AtFlags, Gid, Mode, OFlags, Uid, fchmod, fchown, mkdirat, openat, unlinkat},
    io::Errno,
};

use super::{beneath, reach};
use crate::attach::state::{attachment_dir::AttachmentDir, lower_dir::LowerDir};

/// The file that the configuration of an image includes.
pub(crate) const INCLUDED: &str = ".git/blockd.gitconfig";
/// Where the hooks are; every user may read them.
const HOOKS: &str = "/run/blockd/fsmonitor";

/// What the hook is to compare.
#[derive(Debug)]
pub(crate) struct Hook<'a> {
    /// The `blockd` that is run.
    pub(crate) program: &'a Path,
    pub(crate) upper: &'a Path,
    pub(crate) lower: &'a LowerDir,
    /// User and group of the files.
    pub(crate) owner: (u32, u32),
    /// Where the index of the image says that it is mounted.
    pub(crate) worktree: &'a str,
    pub(crate) has_sha256: bool,
}

/// Has git ask in the work tree that is to be mounted: through the mount, `.git` would
/// be copied up, which asks the server for what it is made of.
///
/// # Errors
///
/// When the owner of its files cannot reach the layers, or a file cannot be written.
pub(crate) fn write(dir: &AttachmentDir, hook: &Hook<'_>) -> Result<()> {
    let path = hook_file(dir);
    let written = write_hook(dir, hook, &path);
    let included = included(dir.mountpoint(), &path);
    write_included(hook.upper, included.as_bytes(), hook.owner)
        .with_context(|| format!("cannot write {INCLUDED}"))?;
    written
}

/// Removes the hook of a mountpoint, if there is one. One that stays is in no work
/// tree's way.
pub(crate) fn remove(dir: &AttachmentDir) {
    let path = hook_file(dir);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!("{} stays: {error}", path.display());
        }
        _ => {}
    }
}

/// The file is named after the state directory too: each may have the mountpoint in
/// another mount namespace.
fn hook_file(dir: &AttachmentDir) -> PathBuf {
    Path::new(HOOKS).join(format!("{}.gitconfig", dir.key_on_host()))
}

fn write_hook(dir: &AttachmentDir, hook: &Hook<'_>, path: &Path) -> Result<()> {
    let lower = hook.lower.directory();
    let above = hook
        .upper
        .parent()
        .expect("an upper layer is in a directory");
    reach::admit(&[lower, above], hook.owner)
        .with_context(|| format!("cannot let the owner of the files into {}", lower.display()))?;
    let lower = hook.lower.mountpoint();
    for layer in [hook.upper, lower.as_path()] {
        if !reach::is_open(layer, hook.owner) {
            let ((uid, _), layer) = (hook.owner, layer.display());
            bail!("user {uid} cannot reach {layer}: choose another directory with --state");
        }
    }
    let text = text(dir.mountpoint(), &lower, hook);
    let make = || {
        fs::create_dir_all(HOOKS)?;
        // It need not outlive the machine's boot: nothing is synced.
        let temporary = path.with_extension("new");
        fs::write(&temporary, &text)?;
        rustix::fs::chmod(&temporary, Mode::from_raw_mode(0o644))?;
        fs::rename(&temporary, path)
    };
    make().with_context(|| format!("cannot write {}", path.display()))
}

fn text(mountpoint: &Path, lower: &Path, hook: &Hook<'_>) -> String {
    let mut command = shell(hook.program);
    command.push_str(" fsmonitor");
    for (flag, path) in [
        ("--upper", hook.upper),
        ("--lower", lower),
        ("--worktree", mountpoint),
    ] {
        write!(command, " {flag} {}", shell(path)).expect("a string takes all");
    }
    if hook.has_sha256 {
        command.push_str(" --object-format sha256");
    }
    command.push_str(" 2>/dev/null");
    let known = if mountpoint == Path::new(hook.worktree) {
        "keep"
    } else {
        "true"
    };
    format!(
        "# Made by blockd attach.\n[core]\n\tfsmonitor = {}\n\tfsmonitorHookVersion = 2\n\
         \tuntrackedCache = {known}\n",
        quoted(&command)
    )
}

/// What the configuration of the image includes. `index.threads` has git use where
/// the index says that its entries end.
fn included(mountpoint: &Path, hook: &Path) -> String {
    let pattern = pattern(&mountpoint.join(".git"));
    format!(
        "# Made by blockd attach.\n[core]\n\tuntrackedCache = true\n[index]\n\tthreads = true\n\
         [includeIf {}]\n\tpath = {}\n",
        quoted(&format!("gitdir:{pattern}")),
        quoted(&hook.to_string_lossy())
    )
}

/// Writes the file into an upper layer as its owner would: what was there may be
/// anything.
fn write_included(upper: &Path, text: &[u8], (uid, gid): (u32, u32)) -> io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let Some(root) = beneath::open_root(upper)? else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let (directory, name) = INCLUDED.split_once('/').expect("it is in a directory");
    let made = match mkdirat(&root, directory, Mode::from_raw_mode(0o755)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let Some(directory) = beneath::open_directory(root, directory)? else {
        return Err(io::ErrorKind::NotADirectory.into());
    };
    if made {
        fchmod(&directory, Mode::from_raw_mode(0o755))?;
        fchown(&directory, uid, gid)?;
    }
    match unlinkat(&directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, name, flags, Mode::from_raw_mode(0o644))?;
    fchmod(&file, Mode::from_raw_mode(0o644))?;
    fchown(&file, uid, gid)?;
    File::from(file).write_all(text)
}

/// A word of a shell's command.
fn shell(path: &Path) -> String {
    let path = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
    format!("'{}'", path.replace('\'', r"'\''"))
}

/// A path as a pattern that matches nothing else (gitignore(5)).
fn pattern(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.chars().fold(String::new(), |mut pattern, c| {
        if matches!(c, '*' | '?' | '[' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}

/// A value or subsection of git's configuration (git-config(1), "Syntax").
fn quoted(value: &str) -> String {
    let value = value.replace('\\', r"\\").replace('"', "\\\"");
    format!("\"{}\"", value.replace('\n', "\\n").replace('\t', "\\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_kind_is_one_word_and_matches_itself() {
        let path = Path::new("/a b/it's [x]*\\\"");
        assert_eq!(shell(path), r#"'/a b/it'\''s [x]*\"'"#);
        assert_eq!(pattern(path), r#"/a b/it's \[x]\*\\""#);
        assert_eq!(quoted(r#"a\"b"#), r#""a\\\"b""#);
        let included = included(Path::new("/m"), Path::new("/run/k"));
        assert!(included.ends_with("[includeIf \"gitdir:/m/.git\"]\n\tpath = \"/run/k\"\n"));
    }
}
