//! What is written down in the state directory.

pub(crate) mod attachment_dir;
pub(crate) mod directory;
pub(crate) mod key;
pub(crate) mod lock;
pub(crate) mod lower_dir;
pub(crate) mod lower_record;
pub(crate) mod mount_scope;
pub(crate) mod record;
