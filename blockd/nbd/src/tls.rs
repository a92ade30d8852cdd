//! TLS: after `NBD_OPT_STARTTLS` nothing goes in the clear (proto.md, "TLS
//! support").
//!
//! Certificates lie as they do for other NBD programs (nbdkit-tls(1),
//! `nbd_set_tls_certificates(3)`): in one folder `ca-cert.pem`, and
//! `server-cert.pem` with `server-key.pem`, or `client-cert.pem` with
//! `client-key.pem`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls_platform_verifier::BuilderVerifierExt;
use thiserror::Error;
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

/// Whose certificates are believed.
const AUTHORITIES: &str = "ca-cert.pem";

/// Why there can be no TLS.
#[derive(Debug, Error)]
#[error("{}: {reason}", .place.display())]
pub struct TlsError {
    place: PathBuf,
    reason: String,
}

impl TlsError {
    fn new(place: &Path, reason: &impl ToString) -> Self {
        Self {
            place: place.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// A server's side, with the certificates in this folder. With `verify_peer`
/// only clients are served that show a certificate of `ca-cert.pem`.
pub fn acceptor(folder: &Path, verify_peer: bool) -> Result<TlsAcceptor, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(folder, &error))?;
    let builder = if verify_peer {
        let roots = Arc::new(authorities(folder)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
        let verifier =
            verifier.map_err(|error| TlsError::new(&folder.join(AUTHORITIES), &error))?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let (chain, key) = identity(folder, "server")?;
    let config = builder.with_single_cert(chain, key);
    let config = config.map_err(|error| TlsError::new(folder, &error))?;
    Ok(Arc::new(config).into())
}

/// A client's side. Without a folder those are believed whom the system
/// believes.
pub(super) fn connector(folder: Option<&Path>) -> Result<TlsConnector, TlsError> {
    let place = folder.unwrap_or(Path::new("the system's certificates"));
    let failed = |error| TlsError::new(place, &error);
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = match folder {
        Some(folder) => builder.with_root_certificates(authorities(folder)?),
        None => builder.with_platform_verifier().map_err(failed)?,
    };
    let config = match folder.filter(|folder| folder.join("client-cert.pem").exists()) {
        Some(folder) => {
            let (chain, key) = identity(folder, "client")?;
            builder.with_client_auth_cert(chain, key).map_err(failed)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config).into())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn authorities(folder: &Path) -> Result<RootCertStore, TlsError> {
    let file = folder.join(AUTHORITIES);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&file)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::new(&file, &error))?;
    }
    Ok(roots)
}

/// `WHO-cert.pem`, the whole chain, and `WHO-key.pem`.
fn identity(
    folder: &Path,
    who: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let file = folder.join(format!("{who}-key.pem"));
    let key = PrivateKeyDer::from_pem_file(&file).map_err(|error| TlsError::new(&file, &error))?;
    Ok((certificates(&folder.join(format!("{who}-cert.pem")))?, key))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| TlsError::new(file, &error))?;
    if certificates.is_empty() {
        return Err(TlsError::new(file, &"there is no certificate in it"));
    }
    Ok(certificates)
}
