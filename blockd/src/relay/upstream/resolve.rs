//! Which disk a relay shows: that of the first upstream that answers.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::{disk::Disk, server::message};
use blockd_nbd::{
    client::{Client, first_of},
    token::{Asked, Token},
    uri::NbdUri,
};

/// Round trips to open an export: the connect, the greeting, and two options.
const ROUND_TRIPS: u32 = 4;

/// The first upstream that answers, and its index in the list.
#[derive(Debug)]
pub(in crate::relay) struct Resolved {
    pub(super) client: Client,
    pub(super) index: usize,
    pub(in crate::relay) disk: Disk,
    pub(super) token: Option<Token>,
    /// About how long a request and its reply take on the network.
    pub(in crate::relay) round_trip: Duration,
}

/// Asks all upstreams for the export by the name that was given. From here on
/// only the canonical name of the first that answers is used.
///
/// # Errors
///
/// No upstream can be used; the error says why, of each.
pub(in crate::relay) async fn resolve(uris: &[NbdUri], token: Option<&Token>) -> Result<Resolved> {
    let uris = uris.iter().enumerate();
    let asked = uris.map(|(index, uri)| ask(index, uri, token));
    first_of(asked).await.map_err(|reasons| {
        if let [(_, reason)] = reasons.as_slice() {
            return anyhow!("{reason}");
        }
        let each = reasons
            .iter()
            .map(|(uri, reason)| format!("{uri}: {reason}"));
        let each: Vec<_> = each.collect();
        anyhow!("no upstream can be used: {}", each.join("; "))
    })
}

async fn ask<'a>(
    index: usize,
    uri: &'a NbdUri,
    token: Option<&Token>,
) -> Result<Resolved, (&'a NbdUri, String)> {
    let begun = Instant::now();
    let name = uri.export.as_str();
    let opened = Client::open(&uri.address, Asked { name, token }).await;
    let client = opened.map_err(|error| (uri, message(&error)))?;
    let disk = Disk::of(client.offer()).map_err(|reason| (uri, reason))?;
    Ok(Resolved {
        client,
        index,
        disk,
        token: token.cloned(),
        round_trip: begun.elapsed() / ROUND_TRIPS,
    })
}
