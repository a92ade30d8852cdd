//! What the fuzz targets call, and a test on a stable compiler too: each takes
//! any bytes, and panics when something is wrong with our code.

mod convert;
#[path = "../../tests/image/git.rs"]
mod git;
mod image;
mod pack;
mod tree;

pub use convert::{attributes, filter};
pub use image::image_read;
pub use pack::pack_entry;
pub use tree::tree;
