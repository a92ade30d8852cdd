//! `NBD_OPT_STARTTLS`, from the client's side.

use tokio_rustls::rustls::pki_types::ServerName;

use super::{
    error::{Error, Result},
    handshake,
    stream::Stream,
};
use crate::{
    tls::connector,
    uri::{Address, Tls},
};

/// Upgrades a connection to TLS; the server must prove that it is `host`.
pub(super) async fn upgrade(
    mut stream: Box<dyn Stream>,
    address: &Address,
    (host, tls): (&str, &Tls),
) -> Result<Box<dyn Stream>> {
    let failed = |reason: String| Error::Tls {
        address: address.to_string(),
        reason,
    };
    // Certificates are read for each connection, since they are renewed while
    // a client runs.
    let connector =
        connector(tls.certificates.as_deref()).map_err(|error| failed(error.to_string()))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    if !handshake::start_tls(&mut stream).await? {
        return Err(failed(
            "the server offers none; nbd:// instead of nbds:// connects without".to_owned(),
        ));
    }
    let upgraded = connector.connect(name, stream).await;
    Ok(Box::new(
        upgraded.map_err(|error| failed(error.to_string()))?,
    ))
}
