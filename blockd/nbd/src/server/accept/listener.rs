//! Where clients come in.

use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::net::sockopt;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream, lookup_host};

use super::socket::Socket;

/// Clients that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Why an address cannot be listened on, and what to do about it.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {reason}; {way_out}")]
pub struct BindError {
    address: String,
    reason: String,
    way_out: &'static str,
}

impl BindError {
    pub(super) fn new(
        address: impl Into<String>,
        reason: &impl ToString,
        way_out: &'static str,
    ) -> Self {
        Self {
            address: address.into(),
            reason: reason.to_string(),
            way_out,
        }
    }
}

/// Where a listener is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// With the port that was found, if 0 was asked for.
    Tcp(SocketAddr),
    /// The file of the socket; empty if it has none.
    Unix(PathBuf),
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Unix(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// A bound socket. The file of a unix socket goes with it.
#[derive(Debug)]
pub struct Listener {
    /// Goes first: a file that nobody listens to is another's to replace.
    _file: Option<SocketFile>,
    door: Door,
    bound: Bound,
}

#[derive(Debug)]
enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bound.fmt(formatter)
    }
}

impl Listener {
    /// Binds `HOST:PORT`, on all addresses of the host. Port 0 is a free one;
    /// `[::]` takes IPv4 too.
    pub async fn bind_tcp(address: &str) -> Result<Vec<Self>, BindError> {
        let way_out = "give HOST:PORT, as in 127.0.0.1:10809 or [::]:10809";
        let addresses = lookup_host(address)
            .await
            .map_err(|error| BindError::new(address, &error, way_out))?;
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

    /// Binds a unix socket. A file that a dead server left is replaced.
    pub async fn bind_unix(path: &Path) -> Result<Self, BindError> {
        let failed = |error: &io::Error| unix_error(path, error);
        remove_stale(path).await?;
        let listener = UnixListener::bind(path).map_err(|error| failed(&error))?;
        let file = SocketFile::of(path).map_err(|error| failed(&error))?;
        let bound = Bound::Unix(path.to_owned());
        Ok(Self {
            door: Door::Unix(listener),
            bound,
            _file: Some(file),
        })
    }

    pub(super) fn from_tcp(listener: TcpListener) -> Result<Self, BindError> {
        let address = listener.local_addr();
        let address =
            address.map_err(|error| BindError::new("a TCP socket", &error, "try again"))?;
        Ok(Self {
            door: Door::Tcp(listener),
            bound: Bound::Tcp(address),
            _file: None,
        })
    }

    /// A socket that somebody else bound, and whose file is theirs.
    pub(super) fn from_unix(listener: UnixListener) -> Self {
        let address = listener.local_addr().ok();
        let path = address.and_then(|address| address.as_pathname().map(Path::to_owned));
        Self {
            door: Door::Unix(listener),
            bound: Bound::Unix(path.unwrap_or_default()),
            _file: None,
        }
    }

    /// Where clients reach it.
    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    /// The next client of a unix socket that speaks another protocol than NBD.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// When the kernel accepts nothing, and for a TCP listener.
    pub async fn accept_unix(&mut self) -> io::Result<UnixStream> {
        match self.accept().await? {
            (Socket::Unix(stream), _) => Ok(stream),
            (Socket::Tcp(_), _) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The next client, and a name for it. Cancel-safe.
    pub(super) async fn accept(&mut self) -> io::Result<(Socket, String)> {
        match &self.door {
            Door::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Socket::tcp(stream), peer.to_string()))
            }
            Door::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let process = stream.peer_cred().ok().and_then(|peer| peer.pid());
                let peer = process.map_or("unix".into(), |process| format!("process {process}"));
                Ok((Socket::Unix(stream), peer))
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
    let way_out = match error.kind() {
        io::ErrorKind::AddrInUse => "stop the server that listens there, or choose another port",
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine, or [::] for all",
        io::ErrorKind::PermissionDenied => "choose a port from 1024 on; NBD's own is 10809",
        _ => "choose another address",
    };
    BindError::new(address.to_string(), error, way_out)
}

fn unix_error(path: &Path, error: &io::Error) -> BindError {
    let way_out = match error.kind() {
        io::ErrorKind::NotFound => "create its directory first",
        io::ErrorKind::InvalidInput => "choose a path of at most 107 bytes",
        io::ErrorKind::AddrInUse => "remove that file, or choose another path",
        _ => "choose a path that this user may write",
    };
    BindError::new(path.display().to_string(), error, way_out)
}

/// Removes a socket on which nobody answers.
async fn remove_stale(path: &Path) -> Result<(), BindError> {
    let Ok(file) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let address = path.display().to_string();
    if !file.file_type().is_socket() {
        let way_out = "remove it, or choose another path";
        return Err(BindError::new(
            address,
            &"a file that is no socket is there",
            way_out,
        ));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| unix_error(path, &error))
        }
        _ => {
            let way_out = "stop that server, or choose another path";
            Err(BindError::new(
                address,
                &"another server answers there",
                way_out,
            ))
        }
    }
}

/// The file of a unix socket, removed when dropped, if it is still that file.
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
        if file_id(&self.path).is_ok_and(|id| id == self.id) {
            fs::remove_file(&self.path).ok();
        }
    }
}

/// What makes a file that file: its device and inode.
fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}
