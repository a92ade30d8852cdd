//! TLS, from the client's side.

use tokio_rustls::rustls::pki_types::ServerName;

use super::{Error, Result, handshake, stream::Stream};
use crate::{
    tls::connector,
    uri::{Address, Tls},
};

/// `NBD_OPT_STARTTLS`, and TLS with a server that shows it is `host`.
pub(super) async fn secure(
    mut stream: Box<dyn Stream>,
    address: &Address,
    (host, tls): (&str, &Tls),
) -> Result<Box<dyn Stream>> {
    let failed = |reason: String| Error::Tls {
        address: address.to_string(),
        reason,
    };
    // Anew for each connection: certificates are renewed.
    let connector =
        connector(tls.certificates.as_deref()).map_err(|error| failed(error.to_string()))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
    if !handshake::start_tls(&mut stream).await? {
        return Err(failed(
            "it offers none; nbd:// instead of nbds:// goes in the clear".to_owned(),
        ));
    }
    let secured = connector.connect(name, stream).await;
    Ok(Box::new(
        secured.map_err(|error| failed(error.to_string()))?,
    ))
}
