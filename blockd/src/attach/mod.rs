//! Attaching an export as a work tree, and detaching it.
//!
//! ```text
//! servers ─► relay ─► device               ─► lower               ─► diff
//!                     nbd-client: /dev/nbdN           ext4, read-only        overlay at the mountpoint,
//!           or FUSE file: /dev/loopN                                 or the lower bound there
//!           └ one for all attachments of an export on this machine ┘ └ one for each
//! ```
//! `state` says what may exist, before it does; `undo` takes down what exists,
//! from the top, however far an attach came and whatever died since.

mod aside;
mod busy;
mod changes;
mod clock;
mod detach;
mod device;
mod diff;
mod doctor;
mod force;
mod holders;
pub mod hydrate;
mod job;
mod key;
mod life;
mod lock;
mod lower;
mod moment;
mod mounts;
mod name;
mod options;
mod overlay;
mod place;
mod preflight;
mod privilege;
mod read_ahead;
mod run;
mod settle;
mod state;
mod status;
mod store;
mod undo;

pub use self::{
    changes::{Change, Changes, ChangesOptions, Kind, changes},
    detach::detach,
    device::Via,
    diff::Upper,
    doctor::{Check, DoctorOptions, Findings, Health, doctor},
    holders::Holder,
    hydrate::{HydrateOptions, Hydrated, hydrate},
    options::{DetachOptions, Detached, Diff, Options, Report, Step},
    read_ahead::read_ahead,
    run::attach,
    settle::settle,
    status::{
        AttachmentStatus, DiffStatus, RelayFigures, RelayStatus, Standing, Status, StatusOptions,
        status,
    },
};
