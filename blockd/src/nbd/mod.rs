//! The NBD protocol: fixed newstyle handshake, then transmission.
//!
//! Knows neither images nor git: a disk is an [`Export`], all disks are
//! [`Exports`].

pub mod export;

pub use export::{BlockSize, Export, ExportInfo, Exports, Extent, OpenError, ReadError};
