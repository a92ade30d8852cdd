//! The layers of an attachment, from the relay up to the overlay. Each can be
//! put up and taken down by itself; none knows a command.

pub(crate) mod beneath;
pub(crate) mod device;
pub(crate) mod discarded;
pub(crate) mod git_hook;
pub(crate) mod git_index;
pub(crate) mod holders;
pub(crate) mod liveness;
pub(crate) mod lower;
pub(crate) mod made_directories;
pub(crate) mod mounts;
pub(crate) mod overlay;
pub(crate) mod own_mount;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod programs;
pub(crate) mod reach;
pub(crate) mod relay;
pub(crate) mod relay_settings;
pub(crate) mod step_times;
pub(crate) mod target;
pub(crate) mod upper;
pub(crate) mod utab;
pub(crate) mod volatile;
