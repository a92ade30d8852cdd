//! For tests: a client that sends exactly what a test wants, and a disk that fails
//! where a test wants it to.

mod poll;
mod scripted;

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig, crypto::aws_lc_rs::default_provider, server::ResolvesServerCertUsingSni,
    },
};
use zerocopy::{FromBytes, IntoBytes};

pub(crate) use self::{
    poll::poll_until,
    scripted::{REGION, Region, Scripted, ScriptedExports, pattern},
};
use crate::{
    export::Exports,
    server::{
        Admission, ConnectionError, Context, Limits, Shutdown, ShutdownTrigger, serve, serve_tls,
    },
    wire::{self, Hello, OptionHeader, OptionReply, Request, SimpleReply, StructuredReply},
};

/// How long a test waits for anything.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// A client at one end of a socket whose other end is served.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) shutdown: ShutdownTrigger,
    served: JoinHandle<Result<(), ConnectionError>>,
}

/// A chunk of a structured reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) kind: u16,
    pub(crate) done: bool,
    pub(crate) cookie: u64,
    pub(crate) payload: Vec<u8>,
}

impl Client {
    /// Connected, nothing sent yet.
    pub(crate) fn new(exports: Arc<dyn Exports>, limits: Limits) -> Self {
        Self::of_context(&Context::new(exports, limits))
    }

    pub(crate) fn of_context(context: &Arc<Context>) -> Self {
        let context = Arc::clone(context);
        Self::served_by(|other, stop| serve(other, context, stop, Admission::only()))
    }

    fn served_by<F>(serve: impl FnOnce(UnixStream, Shutdown) -> F) -> Self
    where
        F: Future<Output = Result<(), ConnectionError>> + Send + 'static,
    {
        let (stream, other) = UnixStream::pair().unwrap();
        let (shutdown, stop) = ShutdownTrigger::new();
        Self {
            stream,
            shutdown,
            served: tokio::spawn(serve(other, stop)),
        }
    }

    /// Connected to a scripted disk, after the greeting.
    pub(crate) async fn greeted(disk: &Arc<Scripted>) -> Self {
        let exports = Arc::new(ScriptedExports(Arc::clone(disk)));
        Self::new(exports, Limits::default()).with_hello().await
    }

    async fn with_hello(mut self) -> Self {
        self.hello(wire::NBD_FLAG_C_FIXED_NEWSTYLE | wire::NBD_FLAG_C_NO_ZEROES)
            .await;
        self
    }

    /// Connected to a server that requires TLS and has no certificate, after the
    /// greeting.
    pub(crate) async fn before_tls(disk: &Arc<Scripted>) -> Self {
        let exports = Arc::new(ScriptedExports(Arc::clone(disk)));
        let context = Context::new(exports, Limits::default());
        let no_certificate = Arc::new(ResolvesServerCertUsingSni::new());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(no_certificate);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serve = async move |other, stop| {
            serve_tls(other, &acceptor, context, stop, Admission::only()).await
        };
        Self::served_by(serve).with_hello().await
    }

    /// In transmission with simple replies.
    pub(crate) async fn simple(disk: &Arc<Scripted>) -> Self {
        let mut client = Self::greeted(disk).await;
        client.go("disk").await;
        client
    }

    /// In transmission with structured replies and `base:allocation`.
    pub(crate) async fn structured(disk: &Arc<Scripted>) -> Self {
        let mut client = Self::greeted(disk).await;
        client.negotiate_structured().await;
        client.go("disk").await;
        client
    }

    pub(crate) async fn negotiate_structured(&mut self) {
        self.option(wire::NBD_OPT_STRUCTURED_REPLY, &[]).await;
        assert_eq!(self.answer().await, (wire::NBD_REP_ACK, vec![]));
        self.option(
            wire::NBD_OPT_SET_META_CONTEXT,
            &meta("disk", &["base:allocation"]),
        )
        .await;
        assert_eq!(self.answer().await.0, wire::NBD_REP_META_CONTEXT);
        assert_eq!(self.answer().await.0, wire::NBD_REP_ACK);
    }

    pub(crate) async fn hello(&mut self, flags: u32) {
        let hello: Hello = self.receive().await;
        assert_eq!(hello.nbdmagic, wire::NBDMAGIC);
        assert_eq!(hello.ihaveopt, wire::IHAVEOPT);
        assert_eq!(hello.flags, 3);
        self.send(&flags.to_be_bytes()).await;
    }

    pub(crate) async fn go(&mut self, name: &str) {
        self.option(wire::NBD_OPT_GO, &info(name, &[])).await;
        while self.answer().await.0 != wire::NBD_REP_ACK {}
    }

    pub(crate) async fn option(&mut self, option: u32, data: &[u8]) {
        self.option_header(option, data.len() as u32).await;
        self.send(data).await;
    }

    pub(crate) async fn option_header(&mut self, option: u32, length: u32) {
        self.send(header(option, length).as_bytes()).await;
    }

    /// The bytes of an option.
    pub(crate) fn option_bytes(option: u32, data: &[u8]) -> Vec<u8> {
        [header(option, data.len() as u32).as_bytes(), data].concat()
    }

    /// The type and data of the next option reply.
    pub(crate) async fn answer(&mut self) -> (u32, Vec<u8>) {
        let reply: OptionReply = self.receive().await;
        assert_eq!(reply.magic, wire::NBD_REP_MAGIC);
        let data = self.bytes(reply.length.get() as usize).await;
        (reply.reply_type.get(), data)
    }

    /// The next option reply, which is an error with a message.
    pub(crate) async fn refusal(&mut self) -> (u32, String) {
        let (error, text) = self.answer().await;
        (error, String::from_utf8(text).unwrap())
    }

    pub(crate) async fn request(&mut self, (flags, command): (u16, u16), offset: u64, length: u32) {
        self.send(request(1, (flags, command), offset, length).as_bytes())
            .await;
    }

    /// The error and cookie of the next simple reply.
    pub(crate) async fn simple_reply(&mut self) -> (u32, u64) {
        let reply: SimpleReply = self.receive().await;
        assert_eq!(reply.magic, wire::NBD_SIMPLE_REPLY_MAGIC);
        (reply.error.get(), reply.cookie.get())
    }

    pub(crate) async fn chunk(&mut self) -> Chunk {
        let head: StructuredReply = self.receive().await;
        assert_eq!(head.magic, wire::NBD_STRUCTURED_REPLY_MAGIC);
        Chunk {
            kind: head.chunk_type.get(),
            done: head.flags == wire::NBD_REPLY_FLAG_DONE,
            cookie: head.cookie.get(),
            payload: self.bytes(head.length.get() as usize).await,
        }
    }

    /// The next chunk, which is an error: its code and message.
    pub(crate) async fn error_chunk(&mut self) -> (u32, String) {
        let chunk = self.chunk().await;
        assert_eq!((chunk.kind, chunk.done), (wire::NBD_REPLY_TYPE_ERROR, true));
        let (head, text) = wire::ErrorChunk::read_from_prefix(&chunk.payload).unwrap();
        assert_eq!(usize::from(head.message_length.get()), text.len());
        (head.error.get(), String::from_utf8(text.to_vec()).unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(TEST_TIMEOUT, self.stream.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn receive<T: FromBytes>(&mut self) -> T {
        let bytes = self.bytes(size_of::<T>()).await;
        T::read_from_bytes(&bytes).ok().unwrap()
    }

    pub(crate) async fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        timeout(TEST_TIMEOUT, self.stream.read_exact(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        bytes
    }

    /// What comes until the server closes the connection.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A connection that is reset has ended as well.
        timeout(TEST_TIMEOUT, self.stream.read_to_end(&mut rest))
            .await
            .unwrap()
            .ok();
        rest
    }

    /// How the server ended the connection, after which nothing more may come.
    pub(crate) async fn end(mut self) -> Result<(), ConnectionError> {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "{} more bytes came", rest.len());
        drop(self.stream);
        timeout(TEST_TIMEOUT, self.served).await.unwrap().unwrap()
    }

    /// The message of the error that ended the connection, whatever came before.
    pub(crate) async fn end_with_rest(mut self) -> String {
        self.rest().await;
        self.end_text().await
    }

    /// The message of the error with which the server ends the connection, while
    /// this client reads nothing.
    pub(crate) async fn end_unread(self) -> String {
        let served = timeout(TEST_TIMEOUT, self.served).await.unwrap();
        drop(self.stream);
        served.unwrap().unwrap_err().to_string()
    }

    /// Whether the server sends nothing for a while.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        timeout(Duration::from_millis(150), self.stream.read_u8())
            .await
            .is_err()
    }

    /// Closes the sending side, and returns how the server ended the connection.
    pub(crate) async fn leave(mut self) -> Result<(), ConnectionError> {
        self.stream.shutdown().await.unwrap();
        self.end().await
    }

    /// The same, of a connection on which replies may come.
    pub(crate) async fn leave_open(mut self) -> Result<(), ConnectionError> {
        self.stream.shutdown().await.unwrap();
        self.rest().await;
        self.end().await
    }

    /// Whether the server's task panicked.
    pub(crate) async fn has_panicked(mut self) -> bool {
        self.rest().await;
        self.served.await.is_err_and(|error| error.is_panic())
    }

    /// The message of the error that ended the connection.
    pub(crate) async fn end_text(self) -> String {
        self.end().await.unwrap_err().to_string()
    }
}

fn header(option: u32, length: u32) -> OptionHeader {
    OptionHeader {
        magic: wire::IHAVEOPT.into(),
        option: option.into(),
        length: length.into(),
    }
}

/// The bytes of a request.
pub(crate) fn request(
    cookie: u64,
    (flags, command): (u16, u16),
    offset: u64,
    length: u32,
) -> Request {
    Request {
        magic: wire::NBD_REQUEST_MAGIC.into(),
        flags: flags.into(),
        command: command.into(),
        cookie: cookie.into(),
        offset: offset.into(),
        length: length.into(),
    }
}

/// The data of `NBD_OPT_INFO` and `NBD_OPT_GO`.
pub(crate) fn info(name: &str, information: &[u16]) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.extend(name.as_bytes());
    data.extend((information.len() as u16).to_be_bytes());
    data.extend(information.iter().flat_map(|number| number.to_be_bytes()));
    data
}

/// The data of the two options for metadata contexts.
pub(crate) fn meta(name: &str, queries: &[&str]) -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat();
    let mut data = string(name);
    data.extend((queries.len() as u32).to_be_bytes());
    data.extend(queries.iter().flat_map(|query| string(query)));
    data
}
