//! A server: accepts connections, and serves each in a task of its own.
//!
//! ```text
//! Server ─ Listener ─> connection ─> handshake ── Negotiated ──> transmission ─> close
//!                                        │                            │
//!                                        └ Exports::open              └ Export::{try_read_cached,
//!                                                                                read, extents, …}
//! ```
//!
//! Served are the fixed newstyle handshake with all its options but
//! `NBD_OPT_EXTENDED_HEADERS`, and all commands but `NBD_CMD_RESIZE`. What a client
//! sends can end its own connection, and no other: every error is either a reply
//! or a [`ConnectionError`] in the log, and [`Limits`] bound what it occupies.

mod accept;
mod admission;
mod connection;
mod context;
mod error;
mod figures;
mod handshake;
mod in_flight;
mod limits;
mod negotiated;
mod receive_buffer;
mod send_buffer;
mod shutdown;
mod stream;
mod transmission;

pub use self::{
    accept::{
        BindError, Bound, Listener, ReadyServer, Server, Watch, inherited_listeners, serve_stdio,
    },
    error::ConnectionError,
    figures::{BOUNDS, Figures, OpenExport, PeerLimits, Times, Use},
    limits::Limits,
};
pub(crate) use self::{
    admission::Admission, connection::serve, context::Context, shutdown::ShutdownTrigger,
};
#[cfg(test)]
pub(crate) use self::{connection::serve_tls, shutdown::Shutdown};
