//! The superblock (`Documentation/filesystems/ext4/super.rst`, `struct
//! ext4_super_block`): written for a layout, and recognized in bytes of others.

mod features;
mod format;
mod recognize;

pub use self::recognize::Use;
pub(crate) use self::{format::superblock, recognize::recognize};
