//! A block device with the bytes of the export: the kernel's NBD client, or where
//! there is none, a loop device on the one file of a FUSE file system.

pub(crate) mod choose;
pub(crate) mod loop_device;
pub(crate) mod nbd;
pub(crate) mod nbd_client;
pub(crate) mod probe;
