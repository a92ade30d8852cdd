//! The commands: each puts layers up, takes them down, or looks at them.

pub(crate) mod attach;
pub(crate) mod detach;
pub(crate) mod diff;
pub(crate) mod doctor;
mod end_processes;
mod export_name;
mod helper_process;
pub(crate) mod hydrate;
pub(crate) mod mounted_at;
mod mountpoint;
pub(crate) mod prefetch;
mod privilege;
pub(crate) mod reap;
pub(crate) mod status;
pub(crate) mod teardown;
mod unmount_error;
mod volatile;
