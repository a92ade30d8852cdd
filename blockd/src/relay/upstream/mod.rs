//! The upstream servers: each one is kept connected and checked, and reads go
//! to whichever answers.
//!
//! ```text
//! read ─► Pool ─► pick ─► Upstream (active)  ─► nbd client, N connections
//!            └─ late? ──► Upstream (standby) ─► nbd client, 1 connection
//! ```

mod allocation;
mod backoff;
mod disk;
mod events;
mod pool;
mod resolve;
mod server;

pub(super) use self::{pool::Pool, resolve::resolve};
