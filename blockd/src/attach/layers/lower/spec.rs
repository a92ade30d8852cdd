//! Which lower layer is to be mounted, and what was mounted.

use std::path::PathBuf;

use crate::attach::{
    layers::relay_settings::RelaySettings,
    state::{attachment_dir::AttachmentDir, via::Via},
};

/// Which lower layer is to be mounted, and for whom.
#[derive(Debug)]
pub(crate) struct LowerSpec<'a> {
    /// Canonical name of the export.
    pub(crate) export: &'a str,
    /// Size of the disk in bytes.
    pub(crate) size: u64,
    /// The attachment that will use it.
    pub(crate) attachment: &'a AttachmentDir,
    /// `None`: the best that this host has, or what is mounted already.
    pub(crate) via: Option<Via>,
    pub(crate) relay: &'a RelaySettings,
    /// How many bytes at the front of the disk the relay reads ahead.
    pub(crate) front: u64,
    /// Where changed blocks are kept, if the disk is to be written to.
    pub(crate) blocks: Option<PathBuf>,
    /// Whether there are changed blocks already.
    pub(crate) is_changed: bool,
    /// Mount whatever ext4 the server sends, not only what blockd makes.
    pub(crate) any_ext4: bool,
}

/// A lower layer that is mounted.
#[derive(Debug)]
pub(crate) struct MountedLower {
    /// The block device.
    pub(crate) device: PathBuf,
    pub(crate) via: Via,
    /// Why this way was taken, for the report.
    pub(crate) reason: String,
    /// The number of other attachments that use it.
    pub(crate) shared_with: usize,
}
