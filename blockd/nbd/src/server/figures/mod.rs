//! What a server counts: plain numbers in memory that only grow, so that the
//! requests of one connection never wait for another's. [`Figures`] are how they
//! stand at one moment.

mod counters;
mod kinds;
mod open_exports;
mod reading;
mod times;

pub(crate) use self::{
    counters::Counters,
    kinds::{Command, Commands, Ending, Refused},
    open_exports::{OpenExports, Visit},
};
pub use self::{
    open_exports::OpenExport,
    reading::{Figures, PeerLimits, Use},
    times::{BOUNDS, Times},
};
