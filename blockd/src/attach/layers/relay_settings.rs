//! The servers that the relay of an attachment reads from, and how.

use std::{iter, num::NonZeroUsize, time::Duration};

use crate::relay::RelayProgram;
use blockd_nbd::{
    token::{Asked, Token},
    uri::NbdUri,
};

/// The servers that the relay of an attachment reads from, and how.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// The export on the first server.
    pub uri: NbdUri,
    /// Other servers that have the same export.
    pub also: Vec<NbdUri>,
    /// What goes to every server with the export's name.
    pub token: Option<Token>,
    /// How long a read waits for a server before it fails.
    pub timeout: Duration,
    /// Connections to each server.
    pub connections: NonZeroUsize,
    /// The most bytes that a hydration may store; `None`: the default of the relay.
    pub cache_size: Option<u64>,
    /// The `blockd` that is started as the relay.
    pub program: RelayProgram,
}

impl RelaySettings {
    /// An export as the servers are asked for it.
    pub(crate) fn asked<'a>(&'a self, name: &'a str) -> Asked<'a> {
        let token = self.token.as_ref();
        Asked { name, token }
    }

    /// All servers, in the order of preference.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &NbdUri> {
        iter::once(&self.uri).chain(&self.also)
    }
}
