//! From an address to a connection that has finished the handshake.

use std::time::Duration;

use tokio::time::timeout;

use super::{
    error::{Error, Result},
    handshake::{self, Offer},
    start_tls,
    stream::{self, Stream},
};
use crate::{token::Asked, uri::Address};

/// How long a server may take from the connect to the end of the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks a server about an export by `NBD_OPT_INFO`, without opening it.
///
/// # Errors
///
/// [`Error::Connect`], [`Error::NotNbd`], [`Error::Tls`], [`Error::Refused`],
/// [`Error::Protocol`], [`Error::Lost`], and [`Error::TimedOut`] after 10 seconds.
pub async fn info<'a>(address: &Address, export: impl Into<Asked<'a>>) -> Result<Offer> {
    let export = export.into();
    let asked = async {
        let mut stream = greeted(address).await?;
        handshake::info(&mut stream, export).await
    };
    in_time(address, asked).await
}

/// A connection in the transmission phase of `export`.
pub(super) async fn open(address: &Address, export: Asked<'_>) -> Result<(Box<dyn Stream>, Offer)> {
    let opened = async {
        let mut stream = greeted(address).await?;
        let offer = handshake::go(&mut stream, export).await?;
        Ok((stream, offer))
    };
    in_time(address, opened).await
}

/// The same, and the id of its `base:allocation` context, if the server has it.
pub(super) async fn open_with_allocation(
    address: &Address,
    export: Asked<'_>,
) -> Result<(Box<dyn Stream>, Offer, Option<u32>)> {
    let opened = async {
        let mut stream = greeted(address).await?;
        let (offer, context) = handshake::go_with_allocation(&mut stream, export).await?;
        Ok((stream, offer, context))
    };
    in_time(address, opened).await
}

/// A connection that is ready for options, in TLS where the address asks for it.
async fn greeted(address: &Address) -> Result<Box<dyn Stream>> {
    let mut stream = stream::connect(address).await?;
    handshake::greet(&mut stream)
        .await
        .map_err(|reason| Error::NotNbd {
            address: address.to_string(),
            reason,
        })?;
    match address {
        Address::Tcp {
            host,
            tls: Some(tls),
            ..
        } => start_tls::upgrade(stream, address, (host, tls)).await,
        _ => Ok(stream),
    }
}

async fn in_time<T>(address: &Address, handshake: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(result) => result,
        Err(_) => Err(Error::TimedOut(format!("the handshake with {address}"))),
    }
}
