//! One client on stdin and stdout, as inetd, `nbdcopy -- [ blockd … ]` and
//! libnbd start a server.

use std::os::fd::AsFd;
use std::os::unix;
use std::pin::pin;
use std::sync::Arc;
use std::{fs, io, net};

use rustix::net::{AddressFamily, getsockname};
use tokio::io::{join, stdin, stdout};
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UnixStream};

use super::socket::Socket;
use crate::server::connection;
use crate::{ConnectionError, Context, Exports, Limits, Shutdown, ShutdownTrigger};

/// Serves the client at the other end of stdin and stdout until it leaves, or
/// until `shutdown` is there.
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

/// Serves whatever stdin is: a socket, a pipe, or a file.
async fn serve(context: Arc<Context>, stop: Shutdown) -> Result<(), ConnectionError> {
    match socket()? {
        Some(Socket::Tcp(stream)) => return connection::serve(stream, context, stop, ()).await,
        Some(Socket::Unix(stream)) => return connection::serve(stream, context, stop, ()).await,
        None => {}
    }
    match pipes() {
        Ok((receiver, sender)) => {
            connection::serve(join(receiver, sender), context, stop, ()).await
        }
        Err(_) => connection::serve(join(stdin(), stdout()), context, stop, ()).await,
    }
}

/// Stdin, if it is a socket: then stdout is the same.
fn socket() -> io::Result<Option<Socket>> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let Ok(address) = getsockname(&stdin) else {
        return Ok(None);
    };
    if address.address_family() == AddressFamily::UNIX {
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
