//! Certificates for TLS (proto.md, "TLS support").
//!
//! They are found as by other NBD programs (nbdkit-tls(1),
//! `nbd_set_tls_certificates(3)`), in PEM, all in one directory:
//!
//! | file | server | client |
//! |---|---|---|
//! | `ca-cert.pem` | with `verify_peer`: who issues clients' certificates | who issues servers' certificates |
//! | `client-crl.pem` | with `verify_peer`, if it is there: which certificates of clients are revoked | |
//! | `server-cert.pem`, `server-key.pem` | its chain and key | |
//! | `client-cert.pem`, `client-key.pem` | | its chain and key, if the server verifies clients |

mod client_tls;
mod files;
mod for_clients;
mod server_tls;

pub(crate) use self::{client_tls::connector, server_tls::certificate_names};
pub use self::{
    files::TlsError,
    server_tls::{ServerTls, VerifyPeer},
};
