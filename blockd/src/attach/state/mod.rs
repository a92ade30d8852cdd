//! The state directory: what is written down about attachments, so that a later
//! command, or one after a crash, finds what may exist.

pub(crate) mod attachment_dir;
pub(crate) mod attachment_record;
pub(crate) mod directory;
pub(crate) mod key;
pub(crate) mod last_detach;
pub(crate) mod lock;
pub(crate) mod lower_dir;
pub(crate) mod lower_record;
pub(crate) mod mount_scope;
pub(crate) mod upper_kind;
pub(crate) mod via;
