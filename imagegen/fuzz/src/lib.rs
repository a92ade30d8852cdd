//! The code of the fuzz targets, which tests run with a stable compiler too.
//! Each target takes any bytes, and panics if it finds an error.

mod access;
mod convert;
#[path = "../../tests/support/git.rs"]
mod git;
mod image;
mod pack;
mod tree;

pub use access::access;
pub use convert::{attributes, filter};
pub use image::image_read;
pub use pack::pack_entry;
pub use tree::tree;
