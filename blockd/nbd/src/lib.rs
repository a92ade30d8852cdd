//! The NBD protocol (Network Block Device), asynchronous: a server and a client.
//!
//! A **server** serves disks over TCP, Unix sockets or stdin and stdout. A disk is
//! whatever implements [`Export`]: a file, an image that is computed, another
//! server. A **client** reads an export over several connections, with many reads in
//! flight on each.
//!
//! Both speak the fixed newstyle handshake, structured replies, `base:allocation`
//! and TLS, as [proto.md] of the NBD project has them; its sections are named in
//! quotes where a rule of it is implemented. Both run on [tokio] and log by
//! [tracing].
//!
//! # Example
//!
//! A disk that is computed, served on a Unix socket and read by a client:
//!
//! ```
//! use std::{num::NonZeroUsize, sync::Arc};
//!
//! use blockd_nbd::{
//!     BlockSize, Export, ExportInfo, Exports, Extent, Identity, Limits, OpenError, ReadError,
//!     client::{self, Client},
//!     server::{Listener, Server},
//!     uri::Address,
//! };
//! use futures_util::{FutureExt, future::BoxFuture};
//! use tokio::sync::oneshot;
//!
//! /// Every byte is the lowest byte of its offset.
//! struct Counting(ExportInfo);
//!
//! impl Export for Counting {
//!     fn info(&self) -> &ExportInfo {
//!         &self.0
//!     }
//!
//!     // Answered at once: nothing has to be waited for.
//!     fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
//!         for (byte, at) in buffer.iter_mut().zip(offset..) {
//!             *byte = at.to_le_bytes()[0];
//!         }
//!         Some(Ok(()))
//!     }
//!
//!     // For a disk that has to wait: in a task, while other requests go on.
//!     fn read(
//!         self: Arc<Self>,
//!         offset: u64,
//!         length: u32,
//!     ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
//!         let bytes = (offset..).take(length as usize).map(|at| at.to_le_bytes()[0]).collect();
//!         async { Ok(bytes) }.boxed()
//!     }
//!
//!     fn extents(&self, offset: u64, visit: &mut dyn FnMut(Extent) -> bool) {
//!         let length = self.0.size - offset;
//!         visit(Extent { length, hole: false, zero: false });
//!     }
//!
//!     fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
//!         async { Ok(()) }.boxed()
//!     }
//! }
//!
//! /// One disk, whatever it is called.
//! struct Single(Arc<Counting>);
//!
//! impl Exports for Single {
//!     fn list(&self, _: &Identity) -> BoxFuture<'_, Vec<(String, String)>> {
//!         let info = self.0.info();
//!         let list = vec![(info.name.clone(), info.description.clone())];
//!         async { list }.boxed()
//!     }
//!
//!     fn open<'a>(
//!         &'a self,
//!         _: &'a str,
//!         _: &Identity,
//!     ) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
//!         let export: Arc<dyn Export> = self.0.clone();
//!         async { Ok(export) }.boxed()
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let socket = directory.path().join("nbd.sock");
//! let server = Server {
//!     listeners: vec![Listener::bind_unix(&socket).await?],
//!     limits: Limits::default(),
//!     tls: None,
//!     exports: Arc::new(Single(Arc::new(Counting(ExportInfo {
//!         name: "counting".to_owned(),
//!         description: "the lowest byte of every offset".to_owned(),
//!         size: 1 << 30,
//!         block_size: BlockSize::default(),
//!     })))),
//! };
//! let (stop, stopped) = oneshot::channel::<()>();
//! let server = tokio::spawn(server.run(async { stopped.await.unwrap_or(()) }));
//!
//! let address = Address::Unix(socket);
//! assert_eq!(client::info(&address, "").await?.info.name, "counting");
//! let four = NonZeroUsize::new(4).unwrap();
//! let client = Client::connect(&address, "counting", four).await?;
//! assert_eq!(client.read(1000, 4).await?, [232, 233, 234, 235]);
//!
//! drop(stop);
//! server.await?;
//! # Ok(())
//! # }
//! ```
//!
//! `nbdinfo nbd+unix:///?socket=…` and every other NBD client see the same disk.
//! [`memory`] has exports for tests; [`uri`] parses and prints NBD URIs; [`token`] is
//! how a name carries a secret.
//!
//! # Errors
//!
//! | of | type | reaches |
//! |---|---|---|
//! | an export that cannot be opened | [`OpenError`] | the client, as the reply to its option |
//! | a read or write that fails | [`ReadError`], [`WriteError`] | the client, as an NBD error; the log |
//! | a server's connection | [`ConnectionError`] | the log; the caller of [`server::serve_stdio`] |
//! | an address to listen on | [`server::BindError`] | the caller |
//! | certificates | [`tls::TlsError`] | the caller |
//! | everything that a client does | [`client::Error`] | the caller; it tells an error of one read from the end of a connection |
//!
//! What a peer says is in the text of an error on one line, without control characters
//! ([`printable()`]); its fields have it as it came.
//!
//! A peer's bytes never cause a panic, and a panic in an [`Export`] ends one
//! connection.
//!
//! # Limits
//!
//! [`Limits`] bound what clients occupy: connections, handshakes and their time,
//! of each peer ([`budget`]) and in all, and bytes of requests in flight, by connection and in all. No request or reply is
//! longer than 64 MiB. A client has at most 64 MiB in flight. [`server::Watch`] shows
//! what a server does, and how near its limits it is.
//!
//! # TLS
//!
//! [`tls::ServerTls`] reads a server's certificates for [`server::Server::tls`]; a
//! client uses TLS for `nbds://` ([`uri::Tls`]). There is no opportunistic mode: a
//! connection that should be encrypted and cannot be is an error.
//!
//! [proto.md]: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
//! [tokio]: https://docs.rs/tokio
//! [tracing]: https://docs.rs/tracing

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod budget;
pub mod client;
mod export;
#[doc(hidden)]
pub mod fuzz;
mod identity;
mod keepalive;
pub mod memory;
mod printable;
pub mod server;
mod string;
#[cfg(test)]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the numbers of tests are small"
)]
pub(crate) mod testing;
pub mod tls;
pub mod token;
pub mod uri;
mod width;
pub mod wire;

pub use self::{
    export::{
        BlockSize, Export, ExportInfo, Exports, Extent, OpenError, ReadError, WriteError, Writes,
        Written,
    },
    identity::Identity,
    printable::printable,
    server::{ConnectionError, Limits},
};
