//! Certificates and keys as they lie in a directory.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use tokio_rustls::rustls::{
    RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// The trusted certificate authorities.
pub(super) const AUTHORITIES: &str = "ca-cert.pem";

/// Which certificate, key or directory cannot be used, and why.
#[derive(Debug, Error)]
#[error("{}: {reason}", .path.display())]
pub struct TlsError {
    path: PathBuf,
    reason: String,
}

impl TlsError {
    pub(super) fn new(path: &Path, reason: &impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

pub(super) fn authorities(directory: &Path) -> Result<RootCertStore, TlsError> {
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
pub(super) fn has_identity(directory: &Path, who: &str) -> Result<bool, TlsError> {
    let file = directory.join(format!("{who}-cert.pem"));
    file.try_exists()
        .map_err(|error| TlsError::new(&file, &error))
}

/// `WHO-cert.pem`, the whole chain, and `WHO-key.pem`.
pub(super) fn identity(
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
