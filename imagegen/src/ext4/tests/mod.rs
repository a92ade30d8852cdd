//! The format, checked with e2fsprogs.
//!
//! Made-up trees are written to sparse files. Each block is generated alone, as
//! for a reader.

mod disk;
mod dump;
mod e2fsck;
mod layout;
mod packing;
mod readback;
mod recognize;
mod tree;
