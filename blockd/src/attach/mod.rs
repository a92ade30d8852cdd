//! Attaching an export as a work tree, and detaching it.
//!
//! ```text
//! servers ─► relay ─► device               ─► lower               ─► upper
//!                     nbd-client: /dev/nbdN           ext4, read-only        overlay at the mountpoint,
//!           or FUSE file: /dev/loopN                                 or the lower bound there
//!           └ one for all attachments of an export on this machine ┘ └ one for each
//! ```
//! `state` is what is written down, before it is made; `layers` are what an
//! attachment is made of; `commands` put layers up and take them down. Commands know
//! layers, layers know the state, never the other way round.

mod commands;
mod layers;
mod state;

pub(crate) use self::state::key::key;

pub use self::{
    commands::{
        attach::{
            attach,
            options::AttachOptions,
            report::{AttachReport, ChangesState},
        },
        detach::{detach, options::DetachOptions, report::DetachReport},
        diff::{
            DiffOptions,
            change::{Change, ChangeKind, DiffReport},
            diff,
        },
        doctor::{
            DoctorOptions,
            check::{Check, DoctorReport, Health},
            doctor,
        },
        hydrate::{HydrateOptions, HydrateReport, hydrate},
        mounted_at::mounted_at,
        prefetch::{PrefetchOptions, prefetch},
        reap::{ReapOptions, reap},
        status::{
            StatusOptions,
            relay::RelayStatus,
            report::{AttachState, AttachmentStatus, ChangesStatus, StatusReport},
            status, status_of,
        },
        teardown::DetachMode,
    },
    layers::{holders::Holder, relay_settings::RelaySettings, step_times::Step, utab::Recorded},
    state::{upper_kind::UpperKind, via::Via},
};
