//! What of an attachment is mounted at its mountpoint.

use std::{fs, io, path::Path};

use super::{
    mounts::{Mount, Mounts},
    overlay,
};
use crate::attach::state::{
    attachment_dir::AttachmentDir, lower_dir::LowerDir, lower_record::LowerRecord,
};

/// What a mount of one attachment looks like: its overlay, or its lower layer bound
/// to the mountpoint.
#[derive(Debug)]
pub(crate) struct OwnMount<'a> {
    dir: &'a AttachmentDir,
    /// The device number of the lower layer's ext4.
    lower: Option<String>,
}

impl<'a> OwnMount<'a> {
    pub(crate) fn new(dir: &'a AttachmentDir, lower: &LowerDir, mounts: &Mounts) -> Self {
        let lower = device_number(lower, mounts);
        Self { dir, lower }
    }

    /// Whether a mount, which may be of another mount namespace, is one of this
    /// attachment.
    pub(crate) fn is(&self, mount: &Mount) -> bool {
        let is_lower = self.lower.as_ref() == Some(&mount.device);
        overlay::is_of(self.dir, mount) || (mount.mountpoint == self.dir.mountpoint() && is_lower)
    }

    /// The uppermost mount of this attachment at its mountpoint.
    pub(crate) fn find<'m>(&self, mounts: &'m Mounts) -> Option<&'m Mount> {
        let all = mounts.all_at(self.dir.mountpoint());
        all.filter(|mount| self.is(mount)).last()
    }
}

/// The device number of a lower layer's ext4, `major:minor`, mounted or not.
fn device_number(lower: &LowerDir, mounts: &Mounts) -> Option<String> {
    if let Some(mount) = mounts.at(&lower.mountpoint()) {
        return Some(mount.device.clone());
    }
    // A record that cannot be read must not stop a detach: without it, a bind
    // mount is not known to be ours, an overlay is.
    let record = LowerRecord::load(lower).unwrap_or_else(|error| {
        tracing::warn!("{error:#}");
        None
    });
    let name = record?.path()?.file_name()?.to_owned();
    match fs::read_to_string(Path::new("/sys/class/block").join(name).join("dev")) {
        Ok(number) => Some(number.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!("the device number of the lower layer cannot be read: {error}");
            None
        }
    }
}
