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
    fmt, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{self, Path, PathBuf},
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

impl NbdUri {
    /// The same URI with absolute paths, for a process that has another current
    /// directory.
    ///
    /// # Errors
    ///
    /// When a path is relative and there is no current directory.
    pub fn absolute(mut self) -> io::Result<Self> {
        match &mut self.address {
            Address::Unix(path)
            | Address::Tcp {
                tls: Some(Tls {
                    certificates: Some(path),
                }),
                ..
            } => *path = path::absolute(&path)?,
            Address::Tcp { .. } => {}
        }
        Ok(self)
    }
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
    if directory.is_empty() {
        return Err("tls-certificates is empty: it must be the path of a directory".to_owned());
    }
    Ok(Some(Tls {
        certificates: Some(decode_path(directory)?),
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
mod tests;
