//! Serves any commit of a git repository as an ext4 disk over NBD, and
//! attaches it where an agent works.
//!
//! ```text
//! serve:   socket ─► server ─► nbd (handshake, transmission) ─► Export ─► catalog ─► imagegen
//! relay:   socket ─► server ─► nbd ─► Export ─► upstream ─► nbd client ─► a server elsewhere
//! attach:  device (kernel nbd, or FUSE and loop) ─► lower (ext4) ─► diff (overlayfs)
//! ```

pub mod args;
pub mod attach;
pub mod catalog;
pub mod commands;
mod image_file;
pub mod nbd;
pub mod relay;
pub mod serve;
pub mod server;
pub mod uri;
