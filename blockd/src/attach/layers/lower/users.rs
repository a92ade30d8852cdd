//! Who uses a lower layer.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::attach::{
    commands::teardown,
    layers::mounts::Mounts,
    state::{
        attachment_dir::Place, directory, lock::Lock, lower_dir::Lower, mount_scope::Life,
        record::State,
    },
};

/// An attachment that says it uses a lower layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// The name of the place's directory.
    pub(crate) key: String,
    /// Where, unless its place is gone.
    pub(crate) mountpoint: Option<PathBuf>,
    /// Whether it may be in use; otherwise it was killed half way.
    pub(crate) alive: bool,
    /// Whether it is mounted where we see it.
    pub(crate) seen: bool,
}

/// Counts a place in. The lock must be held.
pub(crate) fn enter(lower: &Lower, place: &Place) -> Result<()> {
    let users = lower.users_directory();
    let made =
        directory::private_directory(&users).and_then(|()| File::create(users.join(place.key())));
    made.map(drop)
        .with_context(|| format!("cannot write into {}", users.display()))
}

/// Counts a place out. The lock must be held.
pub(crate) fn leave(lower: &Lower, key: &Path) -> Result<()> {
    let file = lower.users_directory().join(key);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// All who are counted in, but for the place `but`, whose lock is held.
pub(crate) fn users(lower: &Lower, export: &str, but: Option<&Place>) -> Result<Vec<User>> {
    let (life, mounts) = (Life::now()?, Mounts::read()?);
    let user = |key| user(lower, export, key, (&life, &mounts));
    Ok(keys(lower, but).map(user).collect())
}

/// Whether anybody who is counted in may use it.
pub(crate) fn is_used(lower: &Lower, export: &str, but: Option<&Place>) -> Result<bool> {
    let (life, mounts) = (Life::now()?, Mounts::read()?);
    let user = |key| user(lower, export, key, (&life, &mounts));
    Ok(keys(lower, but).map(user).any(|user| user.alive))
}

/// How many are counted in.
pub(crate) fn count(lower: &Lower, but: &Place) -> usize {
    keys(lower, Some(but)).count()
}

fn keys(lower: &Lower, but: Option<&Place>) -> impl Iterator<Item = String> {
    let names = fs::read_dir(lower.users_directory()).into_iter().flatten();
    names
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(move |key| but.is_none_or(|place| place.key() != key.as_str()))
}

fn user(lower: &Lower, export: &str, key: String, here: (&Life, &Mounts)) -> User {
    let (life, mounts) = here;
    let place = Place::with_key(lower.state(), &key, Path::new(""));
    let state: Option<State> = directory::read(&place.state_file()).ok().flatten();
    let mountpoint = state.as_ref().map(|state| state.mountpoint.clone());
    let place = Place::with_key(
        lower.state(),
        &key,
        mountpoint.as_deref().unwrap_or(Path::new("")),
    );
    let attachment = state.and_then(|state| state.attachment);
    let attachment = attachment.filter(|attachment| attachment.export == export);
    let seen = teardown::shown(&place, lower, mounts).is_some();
    // Another blockd is at work there, or its mount cannot be seen from here.
    let unsure = || {
        Lock::is_held(&place.lock_file()) || attachment.is_some_and(|it| it.life.is_elsewhere(life))
    };
    User {
        alive: seen || unsure(),
        key,
        mountpoint,
        seen,
    }
}
