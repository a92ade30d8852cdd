//! Serves any commit of a git repository as an ext4 disk over NBD, and
//! attaches it where an agent works.

pub mod attach;
pub mod nbd;
