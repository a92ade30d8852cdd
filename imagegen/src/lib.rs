//! Any commit of a git repository as the bytes of an ext4 disk, computed when
//! somebody reads them.

mod error;
pub mod ext4;
pub mod git;
pub mod image;

pub use error::{Error, Kind, Result};
