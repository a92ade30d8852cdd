//! The output of a run: bytes with offsets, append-only, in files.
//!
//! ```text
//! RUN/00000000000000000000   first segment; removed when the log exceeds its limit
//! RUN/00000000000067108864   each segment is named by the offset of its first byte
//! RUN/OFFSET.times           when the bytes of a segment were put out
//! RUN/missing                how many bytes could not be written
//! ```
//!
//! Readers hold files, not bytes: one that stalls costs nothing, and one that
//! follows is woken when the end of the log moves. While the disk is full
//! nothing is appended; when there is room again, a line in the log says how
//! many bytes are missing there. So an offset always means the same byte.

mod error;
mod extent;
mod log;
mod missing;
mod reader;
mod runs;
mod segments;
#[cfg(test)]
mod tests;
mod times;

pub(crate) use self::extent::at_most;
pub use self::{
    error::LogError,
    extent::{Extent, Limits},
    log::OutputLog,
    reader::Reader,
    runs::{RunId, Runs},
};
