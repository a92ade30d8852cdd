//! A server: accepts clients, and serves each connection from the handshake to
//! the end of transmission.
//!
//! ```text
//! accept ─> connection::serve ─> handshake ── Agreed ──> transmission ─> end
//!                                    │                        │
//!                                    └ Exports::open          └ Export::{read_ready, read, extents}
//! ```

mod accept;
mod connection;
mod context;
mod handshake;
mod incoming;
mod outgoing;
mod transmission;

pub use self::accept::{BindError, Bound, Listener, Server, inherited_listeners, serve_stdio};
pub use self::connection::{ConnectionError, Stream, serve, serve_tls};
pub use self::context::{Context, Limits, Shutdown, ShutdownTrigger};
