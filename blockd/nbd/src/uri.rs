//! NBD URIs: `nbd://HOST[:PORT]/EXPORT`, `nbd+unix:///EXPORT?socket=PATH`, and
//! with TLS `nbds://HOST[:PORT]/EXPORT?tls-certificates=FOLDER`.
//!
//! The grammar is the NBD project's (doc/uri.md); beyond it an export name may
//! hold `@`, `:` and `/` as they are, since every name of ours does.

use std::{
    fmt::{self, Write as _},
    path::PathBuf,
    str::FromStr,
};

use thiserror::Error;

/// The port IANA gave to NBD.
pub const DEFAULT_PORT: u16 = 10809;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or an IP address (without brackets), and a port.
    Tcp {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// `nbds://`: nothing goes in the clear.
        tls: Option<Tls>,
    },
    /// The path of a Unix domain socket.
    Unix(PathBuf),
}

/// How a server is believed, and shown who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The folder with `ca-cert.pem`; without it, those are believed whom the
    /// system believes.
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

/// A server, and the name of an export on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NbdUri {
    /// Where the server listens.
    pub address: Address,
    /// The export's name, decoded.
    pub export: String,
}

/// Why a text is not an NBD URI we can use.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UriError {
    /// Another scheme, or none.
    #[error("{0:?} is no NBD URI: it must begin with nbd://, nbds:// or nbd+unix://")]
    Scheme(String),
    /// A part that makes no sense.
    #[error("{uri:?}: {reason}")]
    Invalid {
        /// What was given.
        uri: String,
        /// What is wrong with it.
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
            "nbd" => tcp(rest, clear).map_err(invalid),
            "nbds" => tcp(rest, secured).map_err(invalid),
            "nbd+unix" => unix(rest).map_err(invalid),
            "nbds+unix" => Err(invalid(
                "a Unix socket needs no TLS: nbd+unix://".to_owned(),
            )),
            _ => Err(UriError::Scheme(uri.to_owned())),
        }
    }
}

/// What the query says of TLS.
type Security = fn(Option<&str>) -> Result<Option<Tls>, String>;

fn clear(query: Option<&str>) -> Result<Option<Tls>, String> {
    query.map_or(Ok(None), |query| Err(unknown(query)))
}

fn secured(query: Option<&str>) -> Result<Option<Tls>, String> {
    let Some(query) = query else {
        return Ok(Some(Tls::default()));
    };
    let folder = query
        .strip_prefix("tls-certificates=")
        .filter(|folder| !folder.contains('&'))
        .ok_or_else(|| unknown(query))?;
    let folder = PathBuf::from(decode(folder)?);
    if !folder.is_absolute() {
        return Err("tls-certificates is an absolute path".to_owned());
    }
    Ok(Some(Tls {
        certificates: Some(folder),
    }))
}

fn unknown(query: &str) -> String {
    format!("nothing is known of the parameter {query:?}; write ? in a name as %3F")
}

fn tcp(rest: &str, security: Security) -> Result<NbdUri, String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (path, query) = split_query(path)?;
    let tls = security(query)?;
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
            "a Unix socket has no host {authority:?}; write nbd+unix:///EXPORT"
        ));
    }
    let (path, query) = split_query(path)?;
    let socket = query
        .and_then(|query| query.strip_prefix("socket="))
        .filter(|socket| !socket.is_empty() && !socket.contains('&'))
        .ok_or("a Unix socket is named by ?socket=PATH and nothing else")?;
    Ok(NbdUri {
        address: Address::Unix(decode(socket)?.into()),
        export: decode(path)?,
    })
}

fn split_query(path: &str) -> Result<(&str, Option<&str>), String> {
    if path.contains('#') {
        return Err("a fragment means nothing here; write # in a name as %23".to_owned());
    }
    Ok(path
        .split_once('?')
        .map_or((path, None), |(path, query)| (path, Some(query))))
}

/// An empty host is the loopback, as in every NBD tool.
fn host_and_port(authority: &str) -> Result<(String, u16), String> {
    if authority.contains('@') {
        return Err("NBD knows no user names: nothing may stand before @ in the host".to_owned());
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => bracketed(rest)?,
        None => match authority.split_once(':') {
            Some((_, rest)) if rest.contains(':') => {
                return Err("an IPv6 address is written in brackets: nbd://[::1]/".to_owned());
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
            .map_err(|_| format!("{text:?} is no TCP port"))?,
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
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'%' => hex(rest.next())
                .zip(hex(rest.next()))
                .map(|(high, low)| high << 4 | low),
            byte => Some(byte),
        };
        bytes.push(
            decoded.ok_or_else(|| format!("% in {text:?} is not followed by two hex digits"))?,
        );
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|decoded| !decoded.contains('\0'))
        .ok_or_else(|| format!("{text:?} is not UTF-8, or holds a NUL"))
}

fn hex(digit: Option<u8>) -> Option<u8> {
    char::from(digit?)
        .to_digit(16)
        .and_then(|value| value.try_into().ok())
}

impl fmt::Display for NbdUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            address @ Address::Tcp { tls, .. } => {
                let scheme = if tls.is_some() { "nbds" } else { "nbd" };
                write!(f, "{scheme}://{address}/{}", encode(&self.export))?;
                match tls.as_ref().and_then(|tls| tls.certificates.as_ref()) {
                    Some(folder) => {
                        write!(f, "?tls-certificates={}", encode(&folder.to_string_lossy()))
                    }
                    None => Ok(()),
                }
            }
            Address::Unix(path) => {
                let socket = encode(&path.to_string_lossy());
                write!(f, "nbd+unix:///{}?socket={socket}", encode(&self.export))
            }
        }
    }
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b'@' | b':' | b'/' | b'=' | b',' | b'+' => {
                encoded.push(char::from(byte));
            }
            byte => {
                // Writing to a String cannot fail.
                let _infallible = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
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
    fn names_may_hold_what_ours_hold() {
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
        assert!(reason("nbd+unix://host/e?socket=/s").contains("no host"));
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
    fn what_makes_no_sense_is_told() {
        assert!(reason("nbds+unix:///e?socket=/s").contains("needs no TLS"));
        assert!(reason("nbds://h/e?tls-certificates=a").contains("absolute"));
        assert!(reason("nbds://h/e?tls=1").contains("tls=1"));
        assert!(reason("nbds://h/e?tls-certificates=/a&b=c").contains("b=c"));
        assert!(reason("http://h/e").contains("must begin with nbd://"));
        assert!(reason("h/e").contains("must begin with nbd://"));
        assert!(reason("nbd://::1/e").contains("brackets"));
        assert!(reason("nbd://[::1/e").contains("not closed"));
        assert!(reason("nbd://[::1]x/e").contains("may not follow"));
        assert!(reason("nbd://h:99999/e").contains("no TCP port"));
        assert!(reason("nbd://u@h/e").contains("user names"));
        assert!(reason("nbd://h/e?tls=1").contains("tls=1"));
        assert!(reason("nbd://h/e#f").contains("%23"));
        for bad in [
            "nbd://h/%",
            "nbd://h/%1",
            "nbd://h/%zz",
            "nbd://h/%ff",
            "nbd://h/%00",
        ] {
            assert!(bad.parse::<NbdUri>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for uri in [
            tcp_uri("h", 1, "r@x:uid=1/é ?#%"),
            tcp_uri("::1", 10809, ""),
            NbdUri {
                address: Address::Unix("/a b/s".into()),
                export: "r@main".to_owned(),
            },
        ] {
            assert_eq!(uri.to_string().parse(), Ok(uri));
        }
    }
}
