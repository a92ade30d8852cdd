//! Attaching an export as a work tree, and detaching it.
//!
//! ```text
//! servers ─► relay ─► device               ─► lower               ─► upper
//!                     nbd-client: /dev/nbdN           ext4, read-only        overlay at the mountpoint,
//!           or FUSE file: /dev/loopN                                 or the lower bound there
//!           └ one for all attachments of an export on this machine ┘ └ one for each
//! ```
//! `state` is what is written down, before it is made; `layers` are what it is
//! made of; `commands` put layers up and take them down. Imports run that way
//! only: commands know layers, layers know the state.

mod commands;
mod layers;
mod state;

pub use self::{
    commands::{
        attach::attach,
        detach::detach,
        diff::{Change, Changes, ChangesOptions, Kind, changes},
        doctor::{Check, DoctorOptions, Findings, Health, doctor},
        hydrate::{HydrateOptions, Hydrated, hydrate},
        options::{DetachOptions, Detached, Diff, Options, Report, Step},
        prefetch::read_ahead,
        profile::{RecordOptions, Recorded, record, warm},
        reap::settle,
        status::{
            AttachmentStatus, DiffStatus, RelayStatus, Standing, Status, StatusOptions, status,
        },
    },
    layers::{device::Via, holders::Holder, upper::Upper},
};
