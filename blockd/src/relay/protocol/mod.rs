//! What passes between a relay, the command that starts it and the commands
//! that query it. Each document is one type, which both sides use.
//!
//! ```text
//! attach ── RelayOptions, on standard input ──► relay-daemon
//! attach ◄─ Greeting, on standard output ────── relay-daemon
//! status ◄─ Status, from the status socket ──── relay
//! hydrate ─ Request, to the control socket ───► relay ── Answer ─► hydrate
//! ```

mod control;
mod options;
mod status;

pub(crate) use self::{
    control::{Answer, Greeting, Request},
    options::DEFAULT_CACHE_SIZE,
};
pub use self::{
    options::RelayOptions,
    status::{
        AheadStatus, CacheStatus, ChangedStatus, Hydration, Latency, Status, UpstreamState,
        UpstreamStatus,
    },
};
