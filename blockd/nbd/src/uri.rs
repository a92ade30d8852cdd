//! NBD URIs: `nbd://HOST[:PORT]/EXPORT`, `nbd+unix:///EXPORT?socket=PATH`, and
//! with TLS `nbds://HOST[:PORT]/EXPORT?tls-certificates=FOLDER`.
//!
//! The grammar is that of the NBD project ([doc/uri.md]), with two differences: an
//! export name may hold `@`, `:` and `/` unescaped, and every parameter that has no
//! meaning here is an error.
//!
//! [doc/uri.md]: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md

use std::{
    ffi::OsString,
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, percent_encode,
};
use thiserror::Error;

/// What is escaped in an export name or a path: all but these and letters and
/// digits.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@')
    .remove(b':')
    .remove(b'/')
    .remove(b'=')
    .remove(b',')
    .remove(b'+');

/// The TCP port that IANA has assigned to NBD.
pub const DEFAULT_PORT: u16 = 10809;

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `nbd://` and `nbds://`.
    Tcp {
        /// A host name, or an IP address without brackets.
        host: String,
        /// TCP port.
        port: u16,
        /// `nbds://`: the connection must be upgraded to TLS.
        tls: Option<Tls>,
    },
    /// `nbd+unix://`: the path of a Unix domain socket.
    Unix(PathBuf),
}

/// How the server is authenticated, and the client if the server asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// `tls-certificates`: a directory with `ca-cert.pem`, and `client-cert.pem`
    /// with `client-key.pem` if the server verifies clients. Without it, the
    /// system's certificate authorities are trusted.
    pub certificates: Option<PathBuf>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(f, "[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A server, and the name of an export on it. [`Display`](fmt::Display) and
/// [`FromStr`] are inverse to each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NbdUri {
    /// The address of the server.
    pub address: Address,
    /// The name of the export, without escapes; empty for the default export.
    pub export: String,
}

/// Why a text is not a valid NBD URI.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UriError {
    /// Another scheme, or none.
    #[error("{0:?} is not an NBD URI: it must begin with nbd://, nbds:// or nbd+unix://")]
    Scheme(String),
    /// A part is malformed or not supported.
    #[error("{uri:?}: {reason}")]
    Invalid {
        /// The whole text.
        uri: String,
        /// Which part, and why.
        reason: String,
    },
}

impl FromStr for NbdUri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        let invalid = |reason: String| UriError::Invalid {
            uri: uri.to_owned(),
            reason,
        };
        let (scheme, rest) = uri
            .split_once("://")
            .ok_or_else(|| UriError::Scheme(uri.to_owned()))?;
        match scheme {
            "nbd" => tcp(rest, no_tls).map_err(invalid),
            "nbds" => tcp(rest, tls).map_err(invalid),
            "nbd+unix" => unix(rest).map_err(invalid),
            "nbds+unix" => Err(invalid(
                "a Unix socket needs no TLS: use nbd+unix://".to_owned(),
            )),
            _ => Err(UriError::Scheme(uri.to_owned())),
        }
    }
}

/// Reads the query of a URI with this scheme.
type ParseTls = fn(Option<&str>) -> Result<Option<Tls>, String>;

fn no_tls(query: Option<&str>) -> Result<Option<Tls>, String> {
    query.map_or(Ok(None), |query| Err(unknown(query)))
}

fn tls(query: Option<&str>) -> Result<Option<Tls>, String> {
    let Some(query) = query else {
        return Ok(Some(Tls::default()));
    };
    let directory = query
        .strip_prefix("tls-certificates=")
        .filter(|directory| !directory.contains('&'))
        .ok_or_else(|| unknown(query))?;
    let directory = decode_path(directory)?;
    if !directory.is_absolute() {
        return Err("tls-certificates must be an absolute path".to_owned());
    }
    Ok(Some(Tls {
        certificates: Some(directory),
    }))
}

fn unknown(query: &str) -> String {
    format!("unknown parameter {query:?}; write ? in a name as %3F")
}

fn tcp(rest: &str, parse_tls: ParseTls) -> Result<NbdUri, String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (path, query) = split_query(path)?;
    let tls = parse_tls(query)?;
    let (host, port) = host_and_port(authority)?;
    Ok(NbdUri {
        address: Address::Tcp { host, port, tls },
        export: decode(path)?,
    })
}

fn unix(rest: &str) -> Result<NbdUri, String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !authority.is_empty() {
        return Err(format!(
            "a Unix socket has no host, and {authority:?} is given; write nbd+unix:///EXPORT"
        ));
    }
    let (path, query) = split_query(path)?;
    let socket = query
        .and_then(|query| query.strip_prefix("socket="))
        .filter(|socket| !socket.is_empty() && !socket.contains('&'))
        .ok_or("a Unix socket takes exactly one parameter, ?socket=PATH")?;
    Ok(NbdUri {
        address: Address::Unix(decode_path(socket)?),
        export: decode(path)?,
    })
}

fn split_query(path: &str) -> Result<(&str, Option<&str>), String> {
    if path.contains('#') {
        return Err("a URI of NBD has no fragment; write # in a name as %23".to_owned());
    }
    Ok(path
        .split_once('?')
        .map_or((path, None), |(path, query)| (path, Some(query))))
}

/// An empty host is `localhost`.
fn host_and_port(authority: &str) -> Result<(String, u16), String> {
    if authority.contains('@') {
        return Err("user names are not supported: there must be no @ in the host".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => bracketed(rest)?,
        None => match authority.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                return Err("an IPv6 address must be in brackets, as in nbd://[::1]/".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let host = if host.is_empty() {
        "localhost".to_owned()
    } else {
        decode(host)?
    };
    let port = match port {
        None | Some("") => DEFAULT_PORT,
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a TCP port"))?,
    };
    Ok((host, port))
}

fn bracketed(rest: &str) -> Result<(&str, Option<&str>), String> {
    let (host, after) = rest
        .split_once(']')
        .ok_or("the bracket before the address is not closed")?;
    match after.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if after.is_empty() => Ok((host, None)),
        None => Err(format!("{after:?} may not follow the address")),
    }
}

fn decode(text: &str) -> Result<String, String> {
    String::from_utf8(decode_bytes(text)?).map_err(|_| format!("{text:?} is not UTF-8"))
}

fn decode_path(text: &str) -> Result<PathBuf, String> {
    Ok(OsString::from_vec(decode_bytes(text)?).into())
}

fn decode_bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut escapes = text.split('%').skip(1).map(str::as_bytes);
    let is_escape = |rest: &[u8]| matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    if !escapes.all(is_escape) {
        return Err(format!("% in {text:?} is not followed by two hex digits"));
    }
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    if bytes.contains(&0) {
        return Err(format!("{text:?} contains a NUL"));
    }
    Ok(bytes)
}

impl fmt::Display for NbdUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let export = percent_encode(self.export.as_bytes(), ESCAPED);
        match &self.address {
            address @ Address::Tcp { tls, .. } => {
                let scheme = if tls.is_some() { "nbds" } else { "nbd" };
                write!(f, "{scheme}://{address}/{export}")?;
                match tls.as_ref().and_then(|tls| tls.certificates.as_ref()) {
                    Some(directory) => {
                        write!(f, "?tls-certificates={}", encode_path(directory))
                    }
                    None => Ok(()),
                }
            }
            Address::Unix(path) => {
                write!(f, "nbd+unix:///{export}?socket={}", encode_path(path))
            }
        }
    }
}

fn encode_path(path: &Path) -> PercentEncode<'_> {
    percent_encode(path.as_os_str().as_bytes(), ESCAPED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp_uri(host: &str, port: u16, export: &str) -> NbdUri {
        let address = Address::Tcp {
            host: host.to_owned(),
            port,
            tls: None,
        };
        NbdUri {
            address,
            export: export.to_owned(),
        }
    }

    fn reason(uri: &str) -> String {
        uri.parse::<NbdUri>().unwrap_err().to_string()
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!("nbd://h/e".parse(), Ok(tcp_uri("h", 10809, "e")));
        assert_eq!("nbd://h:1/e".parse(), Ok(tcp_uri("h", 1, "e")));
        assert_eq!("nbd://h".parse(), Ok(tcp_uri("h", 10809, "")));
        assert_eq!("nbd:///e".parse(), Ok(tcp_uri("localhost", 10809, "e")));
        assert_eq!("nbd://[::1]/e".parse(), Ok(tcp_uri("::1", 10809, "e")));
        assert_eq!(
            "nbd://[fe80::1%25eth0]:7/".parse(),
            Ok(tcp_uri("fe80::1%eth0", 7, ""))
        );
    }

    #[test]
    fn names_may_hold_at_signs_colons_and_slashes() {
        let name = "group/repo.git@refs/heads/main~2:uid=1000:path=a/b";
        assert_eq!(
            format!("nbd://h/{name}").parse(),
            Ok(tcp_uri("h", 10809, name))
        );
        assert_eq!(
            "nbd://h//abs%20x%3F%23".parse(),
            Ok(tcp_uri("h", 10809, "/abs x?#"))
        );
        assert_eq!("nbd://h/%C3%A9".parse(), Ok(tcp_uri("h", 10809, "é")));
    }

    #[test]
    fn unix_sockets() {
        let uri: NbdUri = "nbd+unix:///r@main?socket=/run/b%20d.sock".parse().unwrap();
        assert_eq!(uri.address, Address::Unix("/run/b d.sock".into()));
        assert_eq!(uri.export, "r@main");
        for bad in [
            "nbd+unix:///e",
            "nbd+unix:///e?socket=",
            "nbd+unix:///e?socket=a&b=c",
        ] {
            assert!(reason(bad).contains("?socket=PATH"), "{bad}");
        }
        assert!(reason("nbd+unix://host/e?socket=/s").contains("has no host"));
    }

    #[test]
    fn tls_and_its_certificates() {
        let of = |certificates: Option<&str>| {
            let tls = Some(Tls {
                certificates: certificates.map(PathBuf::from),
            });
            let (host, port) = ("h".to_owned(), DEFAULT_PORT);
            let address = Address::Tcp { host, port, tls };
            let export = "r@main".to_owned();
            Ok(NbdUri { address, export })
        };
        assert_eq!("nbds://h/r@main".parse(), of(None));
        let uri = "nbds://h/r@main?tls-certificates=/etc/pki/b%20d";
        assert_eq!(uri.parse(), of(Some("/etc/pki/b d")));
        for uri in [of(None), of(Some("/a b?&"))] {
            assert_eq!(uri.clone().unwrap().to_string().parse(), uri);
        }
    }

    #[test]
    fn malformed_uris_are_errors_with_a_reason() {
        assert!(reason("nbds+unix:///e?socket=/s").contains("needs no TLS"));
        assert!(reason("nbds://h/e?tls-certificates=a").contains("absolute"));
        assert!(reason("nbds://h/e?tls=1").contains("tls=1"));
        assert!(reason("nbds://h/e?tls-certificates=/a&b=c").contains("b=c"));
        assert!(reason("http://h/e").contains("must begin with nbd://"));
        assert!(reason("h/e").contains("must begin with nbd://"));
        assert!(reason("nbd://::1/e").contains("brackets"));
        assert!(reason("nbd://[::1/e").contains("not closed"));
        assert!(reason("nbd://[::1]x/e").contains("may not follow"));
        assert!(reason("nbd://h:99999/e").contains("not a TCP port"));
        assert!(reason("nbd://u@h/e").contains("user names"));
        assert!(reason("nbd://h/e?tls=1").contains("tls=1"));
        assert!(reason("nbd://h/e#f").contains("%23"));
        for (bad, why) in [
            ("nbd://h/%", "two hex digits"),
            ("nbd://h/%1", "two hex digits"),
            ("nbd://h/%%41", "two hex digits"),
            ("nbd://h/%zz", "two hex digits"),
            ("nbd://h/%ff", "UTF-8"),
            ("nbd://h/%00", "NUL"),
            ("nbd+unix:///e?socket=/%00", "NUL"),
        ] {
            assert!(reason(bad).contains(why), "{bad}");
        }
    }

    #[test]
    fn display_and_parse_are_inverse() {
        for uri in [
            tcp_uri("h", 1, "r@x:uid=1/é ?#%"),
            tcp_uri("::1", 10809, ""),
            NbdUri {
                address: Address::Unix(OsString::from_vec(b"/a b/\xff".to_vec()).into()),
                export: "r@main".to_owned(),
            },
        ] {
            assert_eq!(uri.to_string().parse(), Ok(uri));
        }
    }
}
