//! What `blockd attach` is to do.

use std::path::PathBuf;

use crate::attach::{
    layers::relay_settings::RelaySettings,
    state::{upper_kind::UpperKind, via::Via},
};

/// What to attach, where and how.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct AttachOptions {
    /// The export, and the servers that have it.
    pub relay: RelaySettings,
    /// An empty directory.
    pub mountpoint: PathBuf,
    /// Mount the export read-only, without an overlay.
    pub read_only: bool,
    /// Where changes are kept; `None`: where those of this mountpoint are, else in
    /// the state directory.
    pub upper: Option<UpperKind>,
    /// Go on with changes that may be incomplete, since they were made volatile and
    /// the machine went down.
    pub accept_loss: bool,
    /// Mount whatever ext4 the server sends, not only what blockd makes.
    pub any_ext4: bool,
    /// Have the disk's index say that nothing has changed, and git ask what has.
    pub fsmonitor: bool,
    /// The kind of block device; `None`: the best that this host has.
    pub via: Option<Via>,
    /// The state directory.
    pub state: PathBuf,
    /// Owner of the files, unless the export name has one.
    pub uid: u32,
    /// Group of the files, unless the export name has one.
    pub gid: u32,
    /// Copy the whole disk to this host in the background.
    pub hydrate: bool,
    /// The `blockd` that is started for helper processes.
    pub program: PathBuf,
}
