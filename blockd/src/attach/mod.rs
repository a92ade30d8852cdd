//! Attaching an export as a work tree, and detaching it.
//!
//! ```text
//! server ─► device                      ─► lower              ─► diff
//!           nbd-client: /dev/nbdN          ext4, read-only       overlay at the mountpoint,
//!           or FUSE file: /dev/loopN                             or the lower bound there
//! ```
//! `state` says what may exist, before it does; `undo` takes down what exists,
//! from the top, however far an attach came and whatever died since.

pub mod args;
mod busy;
mod clock;
mod detach;
mod device;
mod diff;
mod holders;
mod job;
mod lower;
mod mounts;
mod name;
mod options;
mod overlay;
mod place;
mod preflight;
mod privilege;
mod read_ahead;
mod run;
mod state;
mod undo;

pub use self::{
    detach::detach,
    device::{Via, fuse_device},
    holders::Holder,
    options::{DetachOptions, Detached, Diff, Options, Report, Step},
    read_ahead::read_ahead,
    run::attach,
};
