//! The server's side of TLS.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{
            CertificateDer, CertificateRevocationListDer,
            pem::{self, PemObject},
        },
        server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};
use webpki::EndEntityCert;

use super::{
    files::{AUTHORITIES, TlsError, authorities, identity, provider},
    for_clients::ForClients,
};

/// The certificates of clients that are not to be used any more.
const REVOKED: &str = "client-crl.pem";

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

/// The certificates and the key of a server, which can be read anew while it runs.
pub struct ServerTls {
    directory: PathBuf,
    verify_peer: VerifyPeer,
    acceptor: RwLock<TlsAcceptor>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerTls")
            .field("directory", &self.directory)
            .field("verify_peer", &self.verify_peer)
            .finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads the files in a directory.
    ///
    /// # Errors
    ///
    /// When a file is missing or malformed, or key and certificate do not match.
    pub fn load(directory: &Path, verify_peer: VerifyPeer) -> Result<Self, TlsError> {
        Ok(Self {
            directory: directory.to_owned(),
            verify_peer,
            acceptor: RwLock::new(acceptor(directory, verify_peer)?),
        })
    }

    /// Reads them anew, for connections that come from now on.
    ///
    /// # Errors
    ///
    /// As for [`ServerTls::load`]; those that were read before stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let newer = acceptor(&self.directory, self.verify_peer)?;
        *self
            .acceptor
            .write()
            .unwrap_or_else(PoisonError::into_inner) = newer;
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let acceptor = self.acceptor.read().unwrap_or_else(PoisonError::into_inner);
        acceptor.clone()
    }
}

fn acceptor(directory: &Path, verify_peer: VerifyPeer) -> Result<TlsAcceptor, TlsError> {
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
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .with_crls(revoked(&directory.join(REVOKED))?)
        // A list is for the certificates of its issuer; others have none.
        .allow_unknown_revocation_status()
        .build();
    verifier.map_err(|error| {
        let file = match error {
            VerifierBuilderError::InvalidCrl(_) => REVOKED,
            _ => AUTHORITIES,
        };
        TlsError::new(&directory.join(file), &error)
    })
}

/// The revocation lists of a file, which need not exist.
fn revoked(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let read = CertificateRevocationListDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<_, _>>);
    match read {
        Err(pem::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => {
            let lists: Vec<_> = read.map_err(|error| TlsError::new(file, &error))?;
            if lists.is_empty() {
                return Err(TlsError::new(file, &"the file holds no revocation list"));
            }
            Ok(lists)
        }
    }
}

/// The DNS names of the first certificate of a chain, in lower case.
pub(crate) fn certificate_names(chain: Option<&[CertificateDer<'_>]>) -> Arc<[String]> {
    let certificate = chain.and_then(|chain| EndEntityCert::try_from(chain.first()?).ok());
    let names = certificate
        .iter()
        .flat_map(|certificate| certificate.valid_dns_names());
    names.map(str::to_ascii_lowercase).collect()
}
