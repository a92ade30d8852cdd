//! What an attachment is made of, from the relay up to the overlay. Each layer
//! can be put up and taken down; none knows a command.

pub(crate) mod device;
pub(crate) mod holders;
pub(crate) mod liveness;
pub(crate) mod lower;
pub(crate) mod mounts;
pub(crate) mod overlay;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod step_times;
pub(crate) mod upper;
