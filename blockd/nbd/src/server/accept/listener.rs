//! Sockets that clients connect to.

use std::{
    fmt, fs, io,
    net::{Ipv6Addr, SocketAddr},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use rustix::net::sockopt;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};
use tracing::warn;

use super::socket::Socket;
use crate::{budget::Peer, identity::Identity};

/// How many connections may wait to be accepted (listen(2)).
const BACKLOG: u32 = 1024;

/// Why an address cannot be listened on; the message says what to do about it.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {reason}; {hint}")]
pub struct BindError {
    address: String,
    reason: String,
    hint: &'static str,
}

impl BindError {
    pub(super) fn new(
        address: impl Into<String>,
        reason: &impl ToString,
        hint: &'static str,
    ) -> Self {
        Self {
            address: address.into(),
            reason: reason.to_string(),
            hint,
        }
    }
}

/// The address that a listener is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// An IP address and a port, which is never 0.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// A Unix socket that has no path: an unnamed or an abstract one, which only
    /// a service manager passes.
    UnixWithoutPath,
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Unix(path) => write!(formatter, "{}", path.display()),
            Self::UnixWithoutPath => formatter.write_str("a Unix socket without a path"),
        }
    }
}

/// A bound, listening socket. Dropping it removes the file of a Unix socket that
/// it has created.
#[derive(Debug)]
pub struct Listener {
    /// Dropped first: once nobody listens, another server may replace the file.
    _file: Option<SocketFile>,
    kind: ListenerKind,
    bound: Bound,
}

#[derive(Debug)]
enum ListenerKind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bound.fmt(formatter)
    }
}

impl Listener {
    /// Binds `HOST:PORT`, one listener for each address of the host. Port 0 means
    /// a free port, the same for all; `[::]` accepts IPv4 too.
    ///
    /// # Errors
    ///
    /// When the host is not known, and as bind(2) and listen(2).
    pub async fn bind_tcp(address: &str) -> Result<Vec<Self>, BindError> {
        let hint = "give HOST:PORT, as in 127.0.0.1:10809 or [::]:10809";
        let addresses = lookup_host(address)
            .await
            .map_err(|error| BindError::new(address, &error, hint))?;
        let mut listeners: Vec<Self> = Vec::new();
        for mut candidate in addresses {
            if let (0, Some(Bound::Tcp(first))) =
                (candidate.port(), listeners.first().map(Self::bound))
            {
                candidate.set_port(first.port());
            }
            let listener = tcp_listener(candidate).map_err(|error| tcp_error(candidate, &error))?;
            listeners.push(Self::from_tcp(listener)?);
        }
        Ok(listeners)
    }

    /// Binds a Unix socket at `path`. The file of a server that does not run any
    /// more is replaced.
    ///
    /// # Errors
    ///
    /// When another server listens there or another kind of file is there, and as
    /// bind(2).
    pub async fn bind_unix(path: &Path) -> Result<Self, BindError> {
        let failed = |error: &io::Error| unix_error(path, error);
        remove_stale(path).await?;
        let listener = UnixListener::bind(path).map_err(|error| failed(&error))?;
        let file = SocketFile::of(path).map_err(|error| failed(&error))?;
        let bound = Bound::Unix(path.to_owned());
        Ok(Self {
            kind: ListenerKind::Unix(listener),
            bound,
            _file: Some(file),
        })
    }

    pub(super) fn from_tcp(listener: TcpListener) -> Result<Self, BindError> {
        let address = listener.local_addr();
        let address =
            address.map_err(|error| BindError::new("a TCP socket", &error, "try again"))?;
        Ok(Self {
            kind: ListenerKind::Tcp(listener),
            bound: Bound::Tcp(address),
            _file: None,
        })
    }

    /// A socket that another process has bound; its file is not removed.
    pub(super) fn from_unix(listener: UnixListener) -> Result<Self, BindError> {
        let address = listener.local_addr();
        let address =
            address.map_err(|error| BindError::new("a Unix socket", &error, "try again"))?;
        let path = address.as_pathname().map(Path::to_owned);
        Ok(Self {
            kind: ListenerKind::Unix(listener),
            bound: path.map_or(Bound::UnixWithoutPath, Bound::Unix),
            _file: None,
        })
    }

    /// The address that it is bound to.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// Accepts a connection on a Unix socket, for a protocol other than NBD.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// As accept(2), and [`io::ErrorKind::Unsupported`] for a TCP listener.
    pub async fn accept_unix(&mut self) -> io::Result<UnixStream> {
        match self.accept().await? {
            (Socket::Unix(stream), ..) => Ok(stream),
            (Socket::Tcp(_), ..) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Accepts a connection by TCP, for a protocol other than NBD. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As accept(2), and [`io::ErrorKind::Unsupported`] for a Unix socket.
    pub async fn accept_tcp(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.kind {
            ListenerKind::Tcp(listener) => listener.accept().await,
            ListenerKind::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Accepts a connection, and says in words for the log who the client is.
    /// Cancel-safe.
    pub(super) async fn accept(&mut self) -> io::Result<(Socket, String, Identity)> {
        match &self.kind {
            ListenerKind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let identity = Identity::of_address(peer.ip());
                Ok((Socket::tcp(stream), peer.to_string(), identity))
            }
            ListenerKind::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let credentials = stream.peer_cred().ok();
                // Whom the system does not name shares with nobody.
                let user = credentials.map_or(u32::MAX, |peer| peer.uid());
                let process = credentials.and_then(|peer| peer.pid());
                let peer = process.map_or("Unix".into(), |process| format!("process {process}"));
                Ok((Socket::Unix(stream), peer, Identity::new(Peer::User(user))))
            }
        }
    }
}

fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        let dual_stack = address.ip() == Ipv6Addr::UNSPECIFIED;
        sockopt::set_ipv6_v6only(&socket, !dual_stack)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn tcp_error(address: SocketAddr, error: &io::Error) -> BindError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "stop the server that listens there, or choose another port",
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine, or [::] for all",
        io::ErrorKind::PermissionDenied => "choose a port from 1024 on; NBD's own is 10809",
        _ => "choose another address",
    };
    BindError::new(address.to_string(), error, hint)
}

fn unix_error(path: &Path, error: &io::Error) -> BindError {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "create its directory first",
        io::ErrorKind::InvalidInput => "choose a path of at most 107 bytes",
        io::ErrorKind::AddrInUse => "remove that file, or choose another path",
        _ => "choose a path that this user may write to",
    };
    BindError::new(path.display().to_string(), error, hint)
}

/// Removes a Unix socket that nobody listens on.
async fn remove_stale(path: &Path) -> Result<(), BindError> {
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unix_error(path, &error)),
    };
    let address = path.display().to_string();
    if !file.file_type().is_socket() {
        let hint = "remove it, or choose another path";
        return Err(BindError::new(
            address,
            &"a file that is not a socket is there",
            hint,
        ));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| unix_error(path, &error))
        }
        _ => {
            let hint = "stop that server, or choose another path";
            Err(BindError::new(
                address,
                &"another server listens there",
                hint,
            ))
        }
    }
}

/// The file of a Unix socket, removed when dropped, if it is still the same file.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            id: file_id(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if file_id(&self.path).is_ok_and(|id| id == self.id)
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(path = %self.path.display(), %error, "cannot remove the file of a socket");
        }
    }
}

/// What identifies a file: its device and inode.
fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}
