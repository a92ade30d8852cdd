//! The NBD protocol: fixed newstyle handshake, then transmission.
//!
//! Knows neither images nor git: a disk is an [`Export`], all disks are
//! [`Exports`].
//!
//! ```text
//! client ─> connection::serve ─> handshake ── Agreed ──> transmission ─> end
//!                                    │                        │
//!                                    └ Exports::open          └ Export::{read_ready, read, extents}
//! ```
//!
//! The specification is proto.md of <https://github.com/NetworkBlockDevice/nbd>;
//! its sections are named in quotes where a rule of it is kept.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod client;
mod connection;
mod context;
pub mod export;
#[doc(hidden)]
pub mod fuzz;
mod handshake;
mod incoming;
#[doc(hidden)]
pub mod memory;
mod outgoing;
#[cfg(test)]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the numbers of tests are small"
)]
pub(crate) mod testing;
pub mod tls;
mod transmission;
pub mod wire;

pub use connection::{ConnectionError, Stream, serve, serve_tls};
pub use context::{Context, Limits, Shutdown, ShutdownTrigger};
pub use export::{
    BlockSize, Export, ExportInfo, Exports, Extent, OpenError, ReadError, WriteError, Writes,
    Written,
};
