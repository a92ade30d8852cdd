//! One client on stdin and stdout, as inetd, `nbdcopy -- [ blockd … ]` and
//! libnbd's `connect_command` start a server.

use std::{
    fs, io, net,
    os::{fd::AsFd, unix},
    pin::pin,
    sync::Arc,
};

use rustix::net::{AddressFamily, getsockname};
use tokio::{
    io::{join, stdin, stdout},
    net::{TcpStream, UnixStream, unix::pipe},
};
use tracing::debug;

use super::socket::Socket;
use crate::{
    export::Exports,
    server::{
        admission::Admission,
        connection,
        context::Context,
        error::ConnectionError,
        limits::Limits,
        shutdown::{Shutdown, ShutdownTrigger},
    },
};

/// Serves the client at the other end of stdin and stdout until it disconnects,
/// or until `shutdown` is ready and its requests in flight are finished.
///
/// If stdin is a socket, stdout is not used; else each may be a pipe, a terminal
/// or a file.
///
/// # Errors
///
/// If the connection ends otherwise than by the client or `shutdown`.
///
/// # Panics
///
/// If a method of the export panics that is called on the connection's own task.
pub async fn serve_stdio(
    exports: Arc<dyn Exports>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ConnectionError> {
    let (trigger, stop) = ShutdownTrigger::new();
    let mut client = pin!(serve(Context::new(exports, limits), stop));
    tokio::select! {
        ended = &mut client => return ended,
        () = shutdown => trigger.trigger(),
    }
    client.await
}

async fn serve(context: Arc<Context>, stop: Shutdown) -> Result<(), ConnectionError> {
    match socket()? {
        Some(Socket::Tcp(stream)) => {
            return connection::serve(stream, context, stop, Admission::only()).await;
        }
        Some(Socket::Unix(stream)) => {
            return connection::serve(stream, context, stop, Admission::only()).await;
        }
        None => {}
    }
    match pipes() {
        Ok((receiver, sender)) => {
            connection::serve(join(receiver, sender), context, stop, Admission::only()).await
        }
        Err(error) => {
            debug!(%error, "stdin and stdout are not both pipes: they are used by blocking calls");
            connection::serve(join(stdin(), stdout()), context, stop, Admission::only()).await
        }
    }
}

/// Stdin, if it is a socket.
fn socket() -> io::Result<Option<Socket>> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let family = match getsockname(&stdin) {
        Ok(address) => address.address_family(),
        Err(rustix::io::Errno::NOTSOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if family == AddressFamily::UNIX {
        let stream = unix::net::UnixStream::from(stdin);
        stream.set_nonblocking(true)?;
        return Ok(Some(Socket::Unix(UnixStream::from_std(stream)?)));
    }
    let stream = net::TcpStream::from(stdin);
    stream.set_nonblocking(true)?;
    Ok(Some(Socket::tcp(TcpStream::from_std(stream)?)))
}

/// Stdin and stdout, if each is a pipe.
fn pipes() -> io::Result<(pipe::Receiver, pipe::Sender)> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let receiver = pipe::Receiver::from_file(fs::File::from(stdin))?;
    Ok((receiver, pipe::Sender::from_file(fs::File::from(stdout))?))
}
