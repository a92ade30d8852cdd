//! The lower layer: one export's relay, device and ext4.
//!
//! It is shared by all attachments of an export on this machine, and read-only;
//! with --cow block an attachment has one for itself, which is written to.
//!
//! An attachment adds its file to the users of the lower layer (`users`) before
//! anything else, and removes it when nothing of the attachment is left: at any
//! moment, also after a kill, too many users may be counted, never too few. All
//! is done under the lock of the lower layer.

mod build;
pub(crate) mod ext4;
mod fsck;
pub(crate) mod mount;
pub(crate) mod release;
pub(crate) mod spec;
pub(crate) mod superblock;
mod users;
