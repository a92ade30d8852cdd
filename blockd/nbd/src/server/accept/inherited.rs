//! Listening sockets that a service manager opened, by the protocol of
//! `sd_listen_fds(3)`, which systemd and libnbd use: `LISTEN_PID` is the process
//! they are for, `LISTEN_FDS` their number, and file descriptor 3 the first one.

use std::{
    fs, io, net,
    os::{
        fd::{FromRawFd, OwnedFd, RawFd},
        unix::{self, ffi::OsStrExt},
    },
    process,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    net::{AddressFamily, getsockname, sockopt},
};
use tokio::net::{TcpListener, UnixListener};

use super::listener::{BindError, Listener};

/// `SD_LISTEN_FDS_START`.
const FIRST: RawFd = 3;
const HINT: &str = "pass listening TCP or Unix sockets, or unset LISTEN_FDS";

/// The listeners that a service manager has passed to this process.
///
/// The arguments are the values of the environment variables `LISTEN_PID` and
/// `LISTEN_FDS`; this library reads no environment. Returns no listeners when
/// either is missing, when `LISTEN_PID` is not this process (as when a parent did
/// not clear its environment), and at every call after the first that took some.
///
/// # Errors
///
/// When `LISTEN_FDS` is not a number, or one of the file descriptors is not a
/// listening TCP or Unix socket.
pub fn inherited_listeners(
    listen_pid: Option<&str>,
    listen_fds: Option<&str>,
) -> Result<Vec<Listener>, BindError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let (Some(pid), Some(count)) = (listen_pid, listen_fds) else {
        return Ok(Vec::new());
    };
    if pid != process::id().to_string() {
        return Ok(Vec::new());
    }
    let count: usize = count
        .parse()
        .map_err(|_| BindError::new("LISTEN_FDS", &format!("{count:?} is not a number"), HINT))?;
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    (FIRST..).take(count).map(take).collect()
}

fn take(descriptor: RawFd) -> Result<Listener, BindError> {
    let failed =
        |reason: &str| BindError::new(format!("file descriptor {descriptor}"), &reason, HINT);
    let link = fs::read_link(format!("/proc/self/fd/{descriptor}"));
    if !link.is_ok_and(|target| target.as_os_str().as_bytes().starts_with(b"socket:")) {
        return Err(failed("it is not a socket"));
    }
    listener(own(descriptor)).map_err(|error| failed(&error.to_string()))?
}

#[expect(
    unsafe_code,
    reason = "there is no safe way to own an inherited file descriptor"
)]
fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: whoever sets `LISTEN_PID` to this process gives it these descriptors;
    // they were open when it began, and `TAKEN` lets them be taken only once.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// A listener of the kind that the descriptor is.
fn listener(descriptor: OwnedFd) -> io::Result<Result<Listener, BindError>> {
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    if !sockopt::socket_acceptconn(&descriptor)? {
        return Err(io::Error::other("it does not listen"));
    }
    match getsockname(&descriptor)?.address_family() {
        AddressFamily::UNIX => {
            let listener = unix::net::UnixListener::from(descriptor);
            listener.set_nonblocking(true)?;
            Ok(Listener::from_unix(UnixListener::from_std(listener)?))
        }
        AddressFamily::INET | AddressFamily::INET6 => {
            let listener = net::TcpListener::from(descriptor);
            listener.set_nonblocking(true)?;
            Ok(Listener::from_tcp(TcpListener::from_std(listener)?))
        }
        _ => Err(io::Error::other("it is neither a TCP nor a Unix socket")),
    }
}
