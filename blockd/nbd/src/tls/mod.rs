//! Certificates for TLS (proto.md, "TLS support").
//!
//! They are found as by other NBD programs (nbdkit-tls(1),
//! `nbd_set_tls_certificates(3)`), in PEM, all in one directory:
//!
//! | file | server | client |
//! |---|---|---|
//! | `ca-cert.pem` | with `verify_peer`: who issues clients' certificates | who issues servers' certificates |
//! | `server-cert.pem`, `server-key.pem` | its chain and key | |
//! | `client-cert.pem`, `client-key.pem` | | its chain and key, if the server verifies clients |

mod for_clients;

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
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};

use self::for_clients::ForClients;

/// The trusted certificate authorities.
const AUTHORITIES: &str = "ca-cert.pem";

/// Which certificate, key or directory cannot be used, and why.
#[derive(Debug, Error)]
#[error("{}: {reason}", .path.display())]
pub struct TlsError {
    path: PathBuf,
    reason: String,
}

impl TlsError {
    fn new(path: &Path, reason: &impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Which clients a server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyPeer {
    /// All, with a certificate or without.
    No,
    /// Those whose certificate an authority in `ca-cert.pem` has issued for a client:
    /// it has the extended key usage `clientAuth`. A server's certificate, or one
    /// that does not say what it is for, is refused.
    Client,
    /// Those whose certificate an authority in `ca-cert.pem` has issued for a client
    /// or without saying what it is for: one without extended key usages is accepted,
    /// as RFC 5280, section 4.2.1.12, has it, be it a server's.
    AnyUsage,
}

/// The server's side of TLS, with the certificates in this directory, which are
/// read once.
///
/// # Errors
///
/// When a file is missing or malformed, or key and certificate do not match.
pub fn acceptor(directory: &Path, verify_peer: VerifyPeer) -> Result<TlsAcceptor, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(directory, &error))?;
    let builder = match verify_peer {
        VerifyPeer::No => builder.with_no_client_auth(),
        VerifyPeer::AnyUsage => builder.with_client_cert_verifier(client_verifier(directory)?),
        VerifyPeer::Client => {
            let issued = client_verifier(directory)?;
            builder.with_client_cert_verifier(Arc::new(ForClients::new(issued)))
        }
    };
    let (chain, key) = identity(directory, "server")?;
    let config = builder.with_single_cert(chain, key);
    let config = config.map_err(|error| TlsError::new(directory, &error))?;
    Ok(Arc::new(config).into())
}

fn client_verifier(directory: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = Arc::new(authorities(directory)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
    verifier.map_err(|error| TlsError::new(&directory.join(AUTHORITIES), &error))
}

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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn authorities(directory: &Path) -> Result<RootCertStore, TlsError> {
    let file = directory.join(AUTHORITIES);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&file)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::new(&file, &error))?;
    }
    Ok(roots)
}

/// Whether there is a `WHO-cert.pem`.
fn has_identity(directory: &Path, who: &str) -> Result<bool, TlsError> {
    let file = directory.join(format!("{who}-cert.pem"));
    file.try_exists()
        .map_err(|error| TlsError::new(&file, &error))
}

/// `WHO-cert.pem`, the whole chain, and `WHO-key.pem`.
fn identity(
    directory: &Path,
    who: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let file = directory.join(format!("{who}-key.pem"));
    let key = PrivateKeyDer::from_pem_file(&file).map_err(|error| TlsError::new(&file, &error))?;
    Ok((
        certificates(&directory.join(format!("{who}-cert.pem")))?,
        key,
    ))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let certificates: Vec<_> = read.map_err(|error| TlsError::new(file, &error))?;
    if certificates.is_empty() {
        return Err(TlsError::new(file, &"the file holds no certificate"));
    }
    Ok(certificates)
}
