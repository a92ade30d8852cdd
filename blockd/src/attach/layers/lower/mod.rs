//! The lower layer: one export's relay, device and ext4, shared by all
//! attachments of that export on this machine.

pub(crate) mod ext4;
pub(crate) mod fsck;
pub(crate) mod mount;
pub(crate) mod release;
pub(crate) mod users;
