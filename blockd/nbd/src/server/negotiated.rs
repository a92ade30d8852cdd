//! What the handshake hands over to the transmission phase.

use std::sync::Arc;

use crate::export::Export;

/// The id of `base:allocation` in the transmission phase, chosen by the server
/// (proto.md, "Metadata querying").
pub(super) const BASE_ALLOCATION_ID: u32 = 1;

/// The longest read or write that is served, in bytes, whatever the export allows:
/// proto.md ("Size constraints") lets a server limit what would be "a denial of
/// service attack", above 32 MiB.
pub(super) const MAX_PAYLOAD: u32 = 64 << 20;

/// What client and server have negotiated.
pub(super) struct Negotiated {
    pub(super) export: Arc<dyn Export>,
    pub(super) structured_replies: bool,
    /// Whether `base:allocation` was selected for this export.
    pub(super) base_allocation: bool,
}
