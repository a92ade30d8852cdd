//! The NBD protocol, for servers and clients: fixed newstyle handshake, then
//! transmission.
//!
//! Knows neither images nor git: a disk is an [`Export`], all disks are
//! [`Exports`].
//!
//! The specification is proto.md of <https://github.com/NetworkBlockDevice/nbd>;
//! its sections are named in quotes where a rule of it is kept.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod client;
pub mod export;
#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod memory;
pub mod server;
#[cfg(test)]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the numbers of tests are small"
)]
pub(crate) mod testing;
pub mod tls;
pub mod uri;
pub mod wire;

pub use export::{
    BlockSize, Export, ExportInfo, Exports, Extent, OpenError, ReadError, WriteError, Writes,
    Written,
};
pub use server::{
    ConnectionError, Context, Limits, Shutdown, ShutdownTrigger, Stream, serve, serve_tls,
};
