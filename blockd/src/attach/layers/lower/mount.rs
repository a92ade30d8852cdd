//! Mounting a lower layer, or using the one that is mounted.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{
    build::Build,
    ext4::mount_ext4,
    release,
    spec::{LowerSpec, MountedLower},
    superblock::Use,
    users::{self, User},
};
use crate::attach::{
    layers::{
        device::{loop_device, nbd},
        liveness,
        mounts::Mounts,
        process::Identity,
        step_times::StepTimes,
    },
    state::{
        lock::{LOWER_TIMEOUT, Lock},
        lower_dir::LowerDir,
        lower_record::{Device, LowerRecord},
        mount_scope::MountScope,
    },
};

/// Counts the attachment as a user, and mounts what of the lower layer is not
/// mounted. It may be cancelled where it waits: `release` removes what was made.
///
/// # Errors
///
/// When another command works on the lower layer for more than a minute, when
/// other attachments use it through another kind of device or a dead relay, or
/// when a layer cannot be put up.
pub(crate) async fn mount(
    lower: &LowerDir,
    spec: &LowerSpec<'_>,
    times: &mut StepTimes,
) -> Result<MountedLower> {
    lower.check_socket_paths()?;
    loop {
        let lock = Lock::acquire_async(&lower.lock_file(), LOWER_TIMEOUT, spec.export).await?;
        times.step("lock the lower layer");
        let Some(record) = LowerRecord::load_for(lower, spec.export)? else {
            users::add(lower, spec.attachment)?;
            let build = Build {
                lower,
                lock,
                spec,
                times,
            };
            return build.run().await;
        };
        match working_device(lower, &record)? {
            Some(device) if spec.via.is_none_or(|via| via == record.via()) => {
                return join(lower, spec, (&record, device), times);
            }
            Some(_) => remove_unused(lower, spec, &record)?,
            None => remove_broken(lower, spec, &record)?,
        }
        // Its directory was removed, and the lock with it. Another command may
        // have made both anew.
    }
}

/// The block device of a lower layer whose relay and device work.
fn working_device(lower: &LowerDir, record: &LowerRecord) -> Result<Option<PathBuf>> {
    let is_running = Identity::alive(&lower.pid_file()).is_some();
    if !is_running || !record.scope.is_same_boot(&MountScope::current()?) {
        return Ok(None);
    }
    let (path, works) = match &record.device {
        Device::Fuse { path: Some(path) } => {
            let bound = loop_device::bound_to(&lower.disk())?;
            (path, bound.contains(path))
        }
        Device::Nbd {
            path,
            connected: true,
        } => {
            let works = nbd::is_connected(path) && nbd::has_size(path, record.size);
            (path, works)
        }
        Device::Fuse { path: None }
        | Device::Nbd {
            connected: false, ..
        } => return Ok(None),
    };
    Ok(works.then(|| path.clone()))
}

/// Uses the lower layer that is there.
fn join(
    lower: &LowerDir,
    spec: &LowerSpec<'_>,
    found: (&LowerRecord, PathBuf),
    times: &mut StepTimes,
) -> Result<MountedLower> {
    let (record, device) = found;
    if !liveness::responds(lower) {
        let others = users::list(lower, spec.export, Some(spec.attachment))?;
        bail!(
            "the relay of {} does not answer: detach {}, and attach again; changes are kept",
            spec.export,
            mountpoints(&others)
        );
    }
    users::add(lower, spec.attachment)?;
    times.step("join the lower layer");
    if Mounts::read()?.at(&lower.mountpoint()).is_none() {
        // An attach that was killed may have mounted it before.
        let since = if record.writable {
            Use::Written
        } else {
            Use::New
        };
        let expected = (!spec.any_ext4).then_some(since);
        mount_ext4(lower, &device, record.writable, expected)?;
        times.step("mount the ext4");
    }
    let shared_with = users::count(lower, spec.attachment)?;
    let reason = match shared_with {
        0 => "it was there already".to_owned(),
        1 => "shared with one other attachment".to_owned(),
        many => format!("shared with {many} other attachments"),
    };
    Ok(MountedLower {
        device,
        via: record.via(),
        reason,
        shared_with,
    })
}

/// Removes a working lower layer that is to be mounted through another kind of
/// device, unless it is in use.
fn remove_unused(lower: &LowerDir, spec: &LowerSpec<'_>, record: &LowerRecord) -> Result<()> {
    let export = spec.export;
    let mut users = users::list(lower, export, Some(spec.attachment))?;
    users.retain(|user| user.may_be_in_use);
    if !users.is_empty() {
        bail!(
            "{export} is attached through {} at {}: leave --via out to share that, or detach \
             those first",
            record.via().description(),
            mountpoints(&users)
        );
    }
    if !release::take_down(lower, Some(record), false)? {
        bail!("the device of {export} is still in use: leave --via out to share it");
    }
    Ok(())
}

/// Removes a lower layer whose relay or device is gone, unless an attachment that
/// can only be detached is mounted on it.
fn remove_broken(lower: &LowerDir, spec: &LowerSpec<'_>, record: &LowerRecord) -> Result<()> {
    let export = spec.export;
    let mut users = users::list(lower, export, Some(spec.attachment))?;
    users.retain(|user| user.is_mounted);
    if !users.is_empty() {
        bail!(
            "the relay of {export}, which is attached at {}, has died: detach there, and attach \
             again; changes are kept",
            mountpoints(&users)
        );
    }
    tracing::info!("removing what is left of {export}");
    if !release::take_down(lower, Some(record), true)? {
        bail!("what is left of {export} cannot be unmounted: see dmesg");
    }
    Ok(())
}

/// The mountpoints of users that may be in use, or the keys of those whose
/// mountpoint is not known.
fn mountpoints(users: &[User]) -> String {
    let in_use = users.iter().filter(|user| user.may_be_in_use);
    let names = in_use.map(|user| {
        let key = Path::new(&user.key);
        user.mountpoint
            .as_deref()
            .unwrap_or(key)
            .display()
            .to_string()
    });
    names.collect::<Vec<_>>().join(", ")
}
