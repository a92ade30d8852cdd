//! Certificates for TLS, in folders as NBD programs take them.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::command::{program, run};

/// An authority of its own, and whom it vouches for.
pub(crate) struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// `server` is `localhost`, `client` anybody.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Self { folder };
        for who in ["server", "client", "stranger"] {
            fs::create_dir(certificates.of(who)).unwrap();
        }
        let authority = certificates.of("server").join("ca-cert.pem");
        let mut made = certificates.openssl("req", &["-x509", "-subj", "/CN=authority"]);
        run(made
            .arg("-keyout")
            .arg(certificates.key())
            .arg("-out")
            .arg(&authority));
        for who in ["client", "stranger"] {
            fs::copy(&authority, certificates.of(who).join("ca-cert.pem")).unwrap();
        }
        certificates.vouch("server", "subjectAltName=DNS:localhost");
        certificates.vouch(
            "client",
            "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:client.example",
        );
        certificates
    }

    /// The folder of `server`, of `client`, or of a `stranger` who has no
    /// certificate and believes the same authority.
    pub(crate) fn of(&self, who: &str) -> PathBuf {
        self.folder.path().join(who)
    }

    /// Writes a revocation list with this certificate for the server.
    #[track_caller]
    pub(crate) fn revoke(&self, who: &str) {
        let server = self.of("server");
        // A list with a number is one of version 2, which RFC 5280 demands.
        let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\ncrlnumber=number\n\
            default_md=sha256\ndefault_crl_days=2\n";
        fs::write(self.folder.path().join("number"), "01\n").unwrap();
        fs::write(self.folder.path().join("ca.conf"), config).unwrap();
        fs::write(self.folder.path().join("index"), "").unwrap();
        let authority = || {
            let mut openssl = program("openssl");
            openssl.current_dir(self.folder.path());
            openssl.args([
                "ca",
                "-config",
                "ca.conf",
                "-keyfile",
                "ca-key.pem",
                "-cert",
            ]);
            openssl.arg(server.join("ca-cert.pem"));
            openssl
        };
        let certificate = self.of(who).join(format!("{who}-cert.pem"));
        run(authority().arg("-revoke").arg(certificate));
        let list = server.join("client-crl.pem");
        run(authority().args(["-gencrl", "-out"]).arg(list));
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("ca-key.pem")
    }

    fn vouch(&self, who: &str, extension: &str) {
        let file = |name: &str| self.of(who).join(name);
        let (asked, extensions) = (file("request"), file("extensions"));
        fs::write(&extensions, extension).unwrap();
        let subject = format!("/CN={who}");
        let mut ask = self.openssl("req", &["-subj", &subject]);
        ask.arg("-keyout").arg(file(&format!("{who}-key.pem")));
        run(ask.arg("-out").arg(&asked));
        let mut answer = program("openssl");
        answer.args(["x509", "-req", "-days", "2", "-CAcreateserial", "-in"]);
        answer.arg(asked).arg("-CA").arg(file("ca-cert.pem"));
        answer
            .arg("-CAkey")
            .arg(self.key())
            .arg("-extfile")
            .arg(extensions);
        run(answer.arg("-out").arg(file(&format!("{who}-cert.pem"))));
    }

    fn openssl(&self, command: &str, arguments: &[&str]) -> Command {
        let mut openssl = program("openssl");
        openssl.current_dir(self.folder.path());
        openssl.args([
            command,
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]);
        openssl.arg("-nodes").args(arguments);
        openssl
    }
}
