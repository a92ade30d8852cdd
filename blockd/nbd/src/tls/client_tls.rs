//! The client's side of TLS.

use std::{path::Path, sync::Arc};

use rustls_platform_verifier::BuilderVerifierExt;
use tokio_rustls::{TlsConnector, rustls::ClientConfig};

use super::files::{TlsError, authorities, has_identity, identity, provider};

/// The client's side of TLS. Without a directory, the system's certificate
/// authorities are trusted.
pub(crate) fn connector(directory: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let path = directory.unwrap_or(Path::new("the system's certificates"));
    let failed = |error| TlsError::new(path, &error);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = match directory {
        Some(directory) => builder.with_root_certificates(authorities(directory)?),
        None => builder.with_platform_verifier().map_err(failed)?,
    };
    let config = match directory {
        Some(directory) if has_identity(directory, "client")? => {
            let (chain, key) = identity(directory, "client")?;
            builder.with_client_auth_cert(chain, key).map_err(failed)?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config).into())
}
