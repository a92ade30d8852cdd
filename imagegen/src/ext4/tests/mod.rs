//! The format, judged by e2fsprogs.
//!
//! Made-up trees are laid out on sparse files, block by block, by asking for
//! each block alone, as a reader would.

mod disk;
mod dump;
mod e2fsck;
mod e2fsprogs;
mod layout;
mod packing;
mod readback;
mod tree;
