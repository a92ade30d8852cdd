//! Certificates that say that they are for clients.

use std::sync::Arc;

use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::{EndEntityCert, KeyUsage};

/// `id-kp-clientAuth`, 1.3.6.1.5.5.7.3.2 (RFC 5280, section 4.2.1.12), as in a
/// certificate.
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// What another verifier accepts, if it has the extended key usage `clientAuth`.
#[derive(Debug)]
pub(super) struct ForClients(Arc<dyn ClientCertVerifier>);

impl ForClients {
    pub(super) fn new(issued: Arc<dyn ClientCertVerifier>) -> Self {
        Self(issued)
    }
}

impl ClientCertVerifier for ForClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now)?;
        if is_for_clients(end_entity, now) {
            return Ok(verified);
        }
        tracing::warn!(
            "a client is refused: its certificate does not have the extended key usage clientAuth \
             (--tls-any-usage accepts it)"
        );
        Err(CertificateError::InvalidPurpose.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The usages of a certificate that was verified. webpki looks at them before it looks
/// for the issuer: where none is given, that one is missing is the error of a
/// certificate that is as it should be.
fn is_for_clients(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else {
        return false;
    };
    let usage = KeyUsage::required(CLIENT_AUTH);
    let verified = certificate.verify_for_usage(&[], &[], &[], now, usage, None, None);
    matches!(verified, Err(webpki::Error::UnknownIssuer))
}
