//! The attachments that use a lower layer.

use std::{fs::File, path::PathBuf};

use anyhow::{Context, Result};

use crate::attach::{
    layers::{mounts::Mounts, own_mount::OwnMount},
    state::{
        attachment_dir::AttachmentDir,
        attachment_record::AttachmentRecord,
        directory::{self, list_directory, remove_file},
        lock::Lock,
        lower_dir::LowerDir,
        mount_scope::MountScope,
    },
};

/// An attachment that is counted as a user of a lower layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    /// The key of its directory.
    pub(super) key: String,
    /// `None` when its record is gone or cannot be read.
    pub(super) mountpoint: Option<PathBuf>,
    /// Whether it may be in use; otherwise its attach or detach was killed.
    pub(super) may_be_in_use: bool,
    /// Whether it is mounted where this process sees it.
    pub(super) is_mounted: bool,
}

/// Adds an attachment. The lock must be held.
///
/// # Errors
///
/// When its file cannot be made.
pub(super) fn add(lower: &LowerDir, dir: &AttachmentDir) -> Result<()> {
    let users = lower.users_directory();
    let made =
        directory::private_directory(&users).and_then(|()| File::create(users.join(dir.key())));
    made.map(drop)
        .with_context(|| format!("cannot write into {}", users.display()))
}

/// Removes an attachment. The lock must be held.
///
/// # Errors
///
/// When its file cannot be removed.
pub(super) fn remove(lower: &LowerDir, dir: &AttachmentDir) -> Result<()> {
    let file = lower.users_directory().join(dir.key());
    remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

/// All users of a lower layer, but for the attachment `except`, whose lock is
/// held by the caller.
///
/// # Errors
///
/// When the users cannot be listed, or a lock cannot be tested.
pub(super) fn list(
    lower: &LowerDir,
    export: &str,
    except: Option<&AttachmentDir>,
) -> Result<Vec<User>> {
    let (scope, mounts) = (MountScope::current()?, Mounts::read()?);
    let keys = keys(lower, except)?.into_iter();
    keys.map(|key| user(lower, export, key, (&scope, &mounts)))
        .collect()
}

/// Whether any user but `except` may be in use.
///
/// # Errors
///
/// Those of [`list`].
pub(super) fn any_in_use(
    lower: &LowerDir,
    export: &str,
    except: Option<&AttachmentDir>,
) -> Result<bool> {
    let users = list(lower, export, except)?;
    Ok(users.iter().any(|user| user.may_be_in_use))
}

/// The number of users but for `except`.
///
/// # Errors
///
/// When the users cannot be listed.
pub(super) fn count(lower: &LowerDir, except: &AttachmentDir) -> Result<usize> {
    Ok(keys(lower, Some(except))?.len())
}

fn keys(lower: &LowerDir, except: Option<&AttachmentDir>) -> Result<Vec<String>> {
    let directory = lower.users_directory();
    let list = || {
        let mut keys = Vec::new();
        for entry in list_directory(&directory)? {
            // Keys are ASCII: another name is none of ours.
            keys.extend(entry?.file_name().into_string());
        }
        keys.retain(|key| except.is_none_or(|except| except.key() != key));
        Ok::<_, std::io::Error>(keys)
    };
    list().with_context(|| format!("cannot list {}", directory.display()))
}

fn user(lower: &LowerDir, export: &str, key: String, here: (&MountScope, &Mounts)) -> Result<User> {
    let (scope, mounts) = here;
    let path = AttachmentDir::record_file_of(lower.state(), &key);
    let record = match directory::read::<AttachmentRecord>(&path) {
        Ok(Some(record)) => record,
        Ok(None) => {
            let lock = AttachmentDir::with_key(lower.state(), &key, "".as_ref()).lock_file();
            return Ok(User {
                may_be_in_use: Lock::is_held(&lock)?,
                key,
                mountpoint: None,
                is_mounted: false,
            });
        }
        Err(error) => {
            tracing::warn!("taken for a user of {export}: {error:#}");
            return Ok(User {
                key,
                mountpoint: None,
                may_be_in_use: true,
                is_mounted: false,
            });
        }
    };
    let dir = AttachmentDir::with_key(lower.state(), &key, &record.mountpoint);
    let is_mounted = OwnMount::new(&dir, lower, mounts).find(mounts).is_some();
    let attachment = record.attachment.filter(|it| it.export == export);
    let is_hidden = attachment.is_some_and(|it| it.scope.is_hidden_from(scope));
    Ok(User {
        // Another blockd may be at work there.
        may_be_in_use: is_mounted || is_hidden || Lock::is_held(&dir.lock_file())?,
        key,
        mountpoint: Some(record.mountpoint),
        is_mounted,
    })
}
