//! One file or folder for each command, and what they have in common.

pub(crate) mod attach;
pub(crate) mod detach;
pub(crate) mod diff;
pub(crate) mod doctor;
mod end_processes;
pub(crate) mod export_name;
mod helper_process;
pub(crate) mod hydrate;
pub(crate) mod options;
pub(crate) mod prefetch;
mod privilege;
pub(crate) mod profile;
pub(crate) mod reap;
pub(crate) mod status;
pub(crate) mod teardown;
mod unmount_error;
