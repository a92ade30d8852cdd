//! Sockets that another program opened for us, as systemd and libnbd do:
//! `LISTEN_PID` names this process, `LISTEN_FDS` counts them, and they begin
//! at file descriptor 3 (`sd_listen_fds(3)`).

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io, net, process};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, getsockname, sockopt};
use tokio::net::{TcpListener, UnixListener};

use super::listener::{BindError, Listener};

const FIRST: RawFd = 3;
const WAY_OUT: &str = "pass listening TCP or unix sockets, or unset LISTEN_FDS";

/// The listeners that `LISTEN_PID` and `LISTEN_FDS` (the values of these
/// variables) promise; none when they mean somebody else, and none when they
/// were taken before.
pub fn inherited_listeners(
    listen_pid: Option<&str>,
    listen_fds: Option<&str>,
) -> Result<Vec<Listener>, BindError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let is_for_us = listen_pid.and_then(|pid| pid.parse().ok()) == Some(process::id());
    let (true, Some(count)) = (is_for_us, listen_fds) else {
        return Ok(Vec::new());
    };
    let count: usize = count
        .parse()
        .map_err(|_| BindError::new("LISTEN_FDS", &format!("{count:?} is no count"), WAY_OUT))?;
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    (FIRST..).take(count).map(take).collect()
}

fn take(descriptor: RawFd) -> Result<Listener, BindError> {
    let failed =
        |reason: &str| BindError::new(format!("file descriptor {descriptor}"), &reason, WAY_OUT);
    let link = fs::read_link(format!("/proc/self/fd/{descriptor}"));
    if !link.is_ok_and(|target| target.as_os_str().as_bytes().starts_with(b"socket:")) {
        return Err(failed("it is not a socket"));
    }
    // SAFETY: who sets `LISTEN_PID` to this process leaves the descriptors to
    // it, they were open before the process began, and they are taken once.
    listener(own(descriptor)).map_err(|error| failed(&error.to_string()))?
}

#[expect(
    unsafe_code,
    reason = "there is no other way to own an inherited descriptor"
)]
fn own(descriptor: RawFd) -> OwnedFd {
    // SAFETY: who sets `LISTEN_PID` to this process leaves the descriptors to
    // it, they were open before the process began, and they are taken once.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// The listener that a descriptor is.
fn listener(descriptor: OwnedFd) -> io::Result<Result<Listener, BindError>> {
    fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
    if !sockopt::socket_acceptconn(&descriptor)? {
        return Err(io::Error::other("it does not listen"));
    }
    match getsockname(&descriptor)?.address_family() {
        AddressFamily::UNIX => {
            let listener = unix::net::UnixListener::from(descriptor);
            listener.set_nonblocking(true)?;
            Ok(Ok(Listener::from_unix(UnixListener::from_std(listener)?)))
        }
        AddressFamily::INET | AddressFamily::INET6 => {
            let listener = net::TcpListener::from(descriptor);
            listener.set_nonblocking(true)?;
            Ok(Listener::from_tcp(TcpListener::from_std(listener)?))
        }
        _ => Err(io::Error::other("it is neither a TCP nor a unix socket")),
    }
}
