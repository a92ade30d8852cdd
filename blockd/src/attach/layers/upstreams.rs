//! The servers that a relay reads from.

use std::{iter, num::NonZeroUsize, path::PathBuf, time::Duration};

use blockd_nbd::uri::NbdUri;

/// The servers of an attachment, and how its relay reads from them.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// The export on the first server.
    pub uri: NbdUri,
    /// Other servers that have the same export.
    pub also: Vec<NbdUri>,
    /// How long a read waits for a server before it fails.
    pub timeout: Duration,
    /// Connections to each server.
    pub connections: NonZeroUsize,
    /// The `blockd` that is started as the relay.
    pub program: PathBuf,
}

impl Upstreams {
    /// All servers, in the order of preference.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &NbdUri> {
        iter::once(&self.uri).chain(&self.also)
    }
}
