//! Serves any commit of a git repository as an ext4 disk over NBD, and
//! attaches it where an agent works.
//!
//! ```text
//! serve:   socket ─► blockd_nbd::server ─► Export ─► catalog ─► imagegen
//! relay:   socket ─► blockd_nbd::server ─► Export ─► upstream ─► blockd_nbd::client ─► a server elsewhere
//! attach:  device (kernel nbd, or FUSE and loop) ─► lower (ext4) ─► diff (overlayfs)
//! ```

pub mod access;
mod atomic_file;
pub mod attach;
pub mod cli;
mod device_node;
pub mod fsmonitor;
pub mod local;
pub mod local_server;
pub mod log;
pub mod mount_helper;
mod open_files;
pub mod plain_text;
pub mod plugin;
mod progress;
pub mod relay;
pub mod serve;
mod signals;
mod units;
